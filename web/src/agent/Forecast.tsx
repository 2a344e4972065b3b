/** What a job would cost and where it would go, asked of the agent once its text stands still for a moment. */
import { useQuery } from '@tanstack/react-query';
import { useEffect, useState } from 'react';
import { credits } from '../parts/words';
import { AgentError, ask, type Peer, type Refused } from './client';

const STILL_MS = 400;

type Estimated = { device?: string; cost?: number; error?: Refused };
/** `mark` tells jobs apart that are too long to be compared as a whole: those that carry a file. */
type ForecastProps = { job: object | null; mark?: string; peers: Peer[]; me: string; otherwise: string };

export function Forecast({ job, mark, peers, me, otherwise }: ForecastProps) {
  const settled = useStill(job && (mark ?? JSON.stringify(job)));
  const found = useQuery({
    queryKey: ['estimate', settled],
    queryFn: ({ signal }) => ask<Estimated>({ c: 'estimate', job }, undefined, signal),
    enabled: settled !== null,
    retry: false,
    staleTime: 10_000,
  });
  if (!job || settled === null || found.isPending) return otherwise;
  if (found.error) return found.error instanceof AgentError ? found.error.message : otherwise;
  const { device, cost = 0, error } = found.data;
  if (!device) return error?.message ?? otherwise;
  const where = device === me ? 'this machine' : (peers.find((peer) => peer.device === device)?.name ?? 'another device');
  return `${cost === 0 ? 'Free' : `At most ${credits(cost)} credits`}, most likely on ${where}.`;
}

/** A value once it has not changed for a moment. */
function useStill<T>(value: T): T {
  const [still, setStill] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setStill(value), STILL_MS);
    return () => clearTimeout(timer);
  }, [value]);
  return still;
}
