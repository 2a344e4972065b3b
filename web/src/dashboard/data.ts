/** What the pages read, each once; a nudge over the WebSocket makes them read again. */
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useParams } from '@tanstack/react-router';
import { useEffect, useRef, useState } from 'react';
import { ApiError, get, type Me, type Member, type Picture } from './api';

export function useNetwork(): string {
  return (useParams({ strict: false }) as { network?: string }).network ?? '';
}

/** Who waits for an admin hears of nothing by itself: the page asks so often. */
const WAITING_MS = 4000;

export function useMe() {
  return useQuery({
    queryKey: ['me'],
    queryFn: () => get<Me>('/v1/me'),
    staleTime: 60_000,
    refetchInterval: (query) => (query.state.data?.asked.some((one) => one.state === 'pending') ? WAITING_MS : false),
    retry: (times, error) => !(error instanceof ApiError && error.status === 401) && times < 2,
  });
}

export function usePicture(seconds = 60) {
  const network = useNetwork();
  return useQuery({
    queryKey: ['picture', network, seconds],
    queryFn: async () => ({ ...(await get<Picture>(`/v1/networks/${network}/picture?seconds=${seconds}`)), at: performance.now() }),
    refetchInterval: seconds <= 900 ? 10_000 : 60_000,
  });
}

export function useMembers() {
  const network = useNetwork();
  return useQuery({
    queryKey: ['people', network],
    queryFn: async () => (await get<{ members: Member[] }>(`/v1/networks/${network}/members`)).members,
    staleTime: 30_000,
  });
}

export type Names = { device: (id: string | null) => string; person: (id: string | null) => string; owner: (id: string | null) => string };

/** What devices and people are called. Nobody is called gone before the lists are here. */
export function useNames(): Names {
  const picture = usePicture();
  const members = useMembers();
  const people = new Map(members.data?.map((one) => [one.member, one.name]));
  const devices = new Map(picture.data?.devices.map((one) => [one.device, one]));
  return {
    device: (id) => devices.get(id ?? '')?.name ?? (picture.data ? 'a device that is gone' : '…'),
    person: (id) => people.get(id ?? '') ?? (members.data ? 'somebody who left' : '…'),
    owner: (id) => people.get(devices.get(id ?? '')?.owner ?? '') ?? '',
  };
}

export type Live = { state: 'live' } | { state: 'catching up' } | { state: 'stopped'; since: number };

const SILENT_MS = 12_000;
/** A busy network changes all the time: it is read at most so often. */
const AGAIN_MS = 300;
const TOPICS: Record<string, string[]> = {
  devices: ['picture', 'jobs', 'review'],
  jobs: ['picture', 'jobs', 'job', 'ledger', 'balances'],
  people: ['people', 'me', 'tokens'],
  settings: ['settings', 'me', 'review'],
};

/** Whether this page hears of what changes; on every nudge what is concerned is read again. */
export function useLive(network: string, may: boolean): Live {
  const queries = useQueryClient();
  const [live, setLive] = useState<Live>({ state: 'catching up' });
  const heard = useRef(Date.now());
  useEffect(() => {
    if (!may) return undefined;
    let socket: WebSocket;
    let retry: ReturnType<typeof setTimeout>;
    let tries = 0;
    let over = false;
    const reading = new Map<string, boolean>();
    /** Read again what a nudge names: one reading at a time, and once more where a nudge came meanwhile. */
    async function again(key: string) {
      if (reading.has(key)) {
        reading.set(key, true);
        return;
      }
      do {
        reading.set(key, false);
        await queries.invalidateQueries({ queryKey: [key] });
        await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
      } while (reading.get(key));
      reading.delete(key);
    }
    function connect() {
      const scheme = location.protocol === 'https:' ? 'wss' : 'ws';
      // What changed between the page's first readings and its first nudge is told by the first nudge.
      const age = tries === 0 ? `?age_ms=${Math.ceil(performance.now())}` : '';
      socket = new WebSocket(`${scheme}://${location.host}/v1/networks/${network}/events${age}`);
      socket.addEventListener('message', (event) => {
        heard.current = Date.now();
        if (tries > 0) void queries.invalidateQueries();
        tries = 0;
        setLive((old) => (old.state === 'live' ? old : { state: 'live' }));
        const topics = (JSON.parse(event.data) as { look: string[] }).look;
        for (const key of new Set(topics.flatMap((topic) => TOPICS[topic] ?? []))) void again(key);
      });
      socket.addEventListener('close', () => {
        if (over) return;
        tries += 1;
        retry = setTimeout(connect, Math.random() * Math.min(1000 * 2 ** tries, 15_000));
      });
    }
    connect();
    const watch = setInterval(() => {
      if (Date.now() - heard.current > SILENT_MS) setLive((old) => (old.state === 'stopped' ? old : { state: 'stopped', since: heard.current }));
    }, 1000);
    return () => {
      over = true;
      clearTimeout(retry);
      clearInterval(watch);
      socket.close();
    };
  }, [network, may, queries]);
  return live;
}
