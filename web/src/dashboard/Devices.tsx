/** Devices: the sentence, the weave, and what happened lately. */
import { Link, useNavigate } from '@tanstack/react-router';
import { lazy, type ReactNode, Suspense, useEffect, useMemo, useState } from 'react';
import { Button, Failure, LINK, Segment } from '../parts/controls';
import { Glyph, PathMark, type State, STATE_WORDS } from '../parts/marks';
import { Weave } from '../parts/Weave';
import { clock, deed, percent, span } from '../parts/words';
import type { Marks } from '../pictures/weave';
import type { Device, Picture, Stitch } from './api';
import { ApiError, post } from './api';
import { useMe, useMembers, useNetwork, usePicture, useNames, type Names } from './data';
import { useQueryClient } from '@tanstack/react-query';
import { facts, folded, ordered } from './facts';
import { Sentence, useLiveNow, Waiting } from './Frame';
import { devicesSentence } from './sentences';
import { DevicePanel } from './DevicePanel';

const AddDevice = lazy(() => import('./AddDevice').then((all) => ({ default: all.AddDevice })));
const WINDOWS = [
  { value: '60', label: '1 min' },
  { value: '900', label: '15 min' },
] as const;

/** Whether the page is as narrow as a phone. */
export function useNarrow(): boolean {
  const query = useMemo(() => matchMedia('(max-width: 639px)'), []);
  const [narrow, setNarrow] = useState(query.matches);
  useEffect(() => {
    const changed = () => setNarrow(query.matches);
    query.addEventListener('change', changed);
    return () => query.removeEventListener('change', changed);
  }, [query]);
  return narrow;
}

export function DevicesPage() {
  const network = useNetwork();
  const navigate = useNavigate();
  const narrow = useNarrow();
  const [seconds, setSeconds] = useState<'60' | '900'>('60');
  const [table, setTable] = useState(false);
  const [adding, setAdding] = useState(false);
  const [paused, setPaused] = useState(false);
  const picture = usePicture(Number(seconds));
  const data = picture.data;
  const working = new Set(data?.stitches.filter((one) => one.finished_ms === null).map((one) => one.worker));

  useEffect(() => {
    const pressed = (event: KeyboardEvent) => {
      if ((event.target as HTMLElement).closest('input, textarea, select')) return;
      if (event.key === 't') setTable((old) => !old);
    };
    addEventListener('keydown', pressed);
    return () => removeEventListener('keydown', pressed);
  }, []);

  if (!data) {
    return (
      <>
        <Sentence>{picture.error ? 'The devices cannot be shown.' : <span className="text-ink-3">Devices</span>}</Sentence>
        <Waiting error={picture.error} what="The picture" />
      </>
    );
  }
  const parts = devicesSentence(data.devices, working);
  const few = data.devices.length <= 1;
  return (
    <>
      <Sentence below={few && data.devices.length === 1 ? `${data.devices[0]!.name} already works for itself. Send someone a link, and their line appears below.` : undefined}>
        {parts.map((part) =>
          part.to ? (
            <Link key={part.to} to="/n/$network/devices/$device" params={{ network, device: part.to }} className={LINK}>
              {part.text}
            </Link>
          ) : (
            part.text
          ),
        )}
      </Sentence>
      <Pending devices={data.devices} />
      <div className="mb-5 flex flex-wrap items-center gap-3">
        <Segment name="Window" value={seconds} onChange={setSeconds} options={WINDOWS} />
        <span className="ml-auto flex gap-2">
          <Button className="max-wide:hidden" onClick={() => setPaused(!paused)} aria-pressed={paused}>
            {paused ? 'Go on' : 'Hold still'}
          </Button>
          <Button className="max-wide:hidden" aria-pressed={table} onClick={() => setTable(!table)}>
            {table ? 'Picture' : 'Table'}
          </Button>
          <Button look="primary" onClick={() => setAdding(true)}>
            Add a device
          </Button>
        </span>
      </div>
      {table ? <DeviceTable data={data} working={working} /> : <Live data={data} at={data.at} seconds={Number(seconds)} narrow={narrow} moving={!paused} working={working} />}
      {few && <Empty add={() => setAdding(true)} />}
      {!few && <Lately data={data} />}
      {adding && (
        <Suspense fallback={null}>
          <AddDevice close={() => setAdding(false)} />
        </Suspense>
      )}
      <DevicePanel close={() => void navigate({ to: '/n/$network', params: { network } })} />
    </>
  );
}

/** Who waits comes first, wherever one looks. */
function Pending({ devices }: { devices: Device[] }) {
  const me = useMe();
  const network = useNetwork();
  const names = useNames();
  const admin = me.data?.networks.find((one) => one.network === network)?.role === 'admin';
  return devices
    .filter((one) => one.state === 'pending')
    .map((one) => (
      <div key={one.device} className="mb-5 flex max-w-[62em] flex-wrap items-center gap-3 border-l-2 border-warn-fill bg-raised px-4 py-3">
        <p className="min-w-[14em] flex-1">
          <b>{one.name}</b> {one.held === 'copied' ? 'was put back: its folder was copied or restored.' : 'asks to join.'}
          <span className="block text-13 text-ink-2">Brought by {names.person(one.owner)}.</span>
        </p>
        {admin ? <Approve device={one.device} /> : <span className="text-13 text-ink-2">An admin decides.</span>}
        <Link to="/n/$network/devices/$device" params={{ network, device: one.device }} className={`text-13 ${LINK}`}>
          Look first
        </Link>
      </div>
    ));
}

export function Approve({ device }: { device: string }) {
  const network = useNetwork();
  const queries = useQueryClient();
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<ApiError | null>(null);
  async function approve() {
    setBusy(true);
    try {
      await post(`/v1/networks/${network}/devices/${device}/approve`);
      await queries.invalidateQueries({ queryKey: ['picture'] });
    } catch (refused) {
      setError(refused as ApiError);
    }
    setBusy(false);
  }
  return (
    <>
      <Button look="primary" busy={busy && 'Approving…'} onClick={approve}>
        Approve
      </Button>
      {error && <Failure message={error.message} code={error.refused.code} />}
    </>
  );
}

export function stateOf(device: Device, working: Set<string>): State {
  return working.has(device.device) && device.state === 'ready' ? 'busy' : (device.state as State);
}

/** Time goes on while news has stopped: what lies between is not known, and grows. */
function useStillTime(known: number, at: number, stopped: boolean): number {
  const [now, setNow] = useState(known);
  useEffect(() => {
    if (!stopped) return undefined;
    const tick = () => setNow(known + performance.now() - at);
    tick();
    const timer = setInterval(tick, 1000);
    return () => clearInterval(timer);
  }, [known, at, stopped]);
  return stopped ? Math.max(now, known) : known;
}

type LiveProps = { data: Picture; at: number; seconds: number; narrow: boolean; moving: boolean; working: Set<string> };

function Live({ data, at, seconds, narrow, moving, working }: LiveProps) {
  const network = useNetwork();
  const me = useMe().data?.member ?? '';
  const members = useMembers();
  const names = useNames();
  const live = useLiveNow();
  const [open, setOpen] = useState({ ready: false, away: false });
  const now = useStillTime(data.now_ms, at, live.state === 'stopped');
  const person = useMemo(() => {
    const known = new Map(members.data?.map((one) => [one.member, one.name]));
    return (id: string) => known.get(id) ?? '';
  }, [members.data]);
  const all = useMemo(() => ordered(data.devices, me, person), [data.devices, me, person]);
  const { shown, rest } = useMemo(() => folded(all, data.stitches, open), [all, data.stitches, open]);
  const many = data.devices.length > 20;
  const window = narrow ? Math.min(seconds, 30) * (seconds > 60 ? 15 : 1) : seconds;
  const drawn = useMemo(
    () => facts(data, shown, window, (one) => (many || narrow ? '' : person(one.owner)), live.state === 'stopped' ? data.now_ms : null, now),
    [data, shown, window, many, narrow, person, live.state, now],
  );
  const devices = new Map(shown.map((one) => [one.device, one]));
  const paths = useMemo(() => lastPaths(data.stitches), [data.stitches]);
  const byKey = useMemo(() => new Map(data.stitches.map((one) => [`${one.job ?? one.worker}.${one.attempt}.${one.started_ms}`, one])), [data.stitches]);
  const told = (key: string) => byKey.get(key.replace(/\+\d+$/, ''));
  return (
    <>
      <Weave
        facts={drawn}
        at={at}
        moving={moving}
        row={narrow ? 60 : many ? 24 : 42}
        group={many || narrow ? 0 : 26}
        tight={narrow}
        hrefOf={(stitch) => (told(stitch.key)?.job ? `/n/${network}/jobs/${stitch.job}` : undefined)}
        say={(stitch) => {
          const one = told(stitch.key);
          return one ? inWords(one, names) : `${stitch.label} on ${names.device(stitch.worker)}`;
        }}
        describe={(stitch) => {
          const one = told(stitch.key);
          if (stitch.many) return `${stitch.many} jobs, ${names.device(stitch.asker)} → ${names.device(stitch.worker)}`;
          return one ? inWords(one, names) : null;
        }}
        left={(rows, groups, relay) => (
          <Names narrow={narrow} many={many} rows={rows} groups={groups} relay={relay} devices={devices} working={working} data={data} me={me} />
        )}
        right={(rows) => (
          <ul className="absolute inset-x-0 top-[24px] pl-4 text-12">
            {rows.map((row) => (
              <li key={row.id} style={{ top: row.y - (many ? 8 : 17) }} className="absolute inset-x-4 leading-[17px]">
                <Now device={devices.get(row.id)} data={data} path={paths.get(row.id)} short={many} />
              </li>
            ))}
          </ul>
        )}
      />
      {many && (
        <p className="mt-3 flex flex-wrap gap-4 text-13 text-ink-2">
          <Fold open={open.ready} count={rest.ready.length} word="ready" toggle={() => setOpen({ ...open, ready: !open.ready })} />
          <Fold open={open.away} count={rest.away.length} word="away" toggle={() => setOpen({ ...open, away: !open.away })} />
        </p>
      )}
      {!narrow && data.devices.length > 1 && <Legend />}
    </>
  );
}

function Fold({ open, count, word, toggle }: { open: boolean; count: number; word: string; toggle: () => void }) {
  if (count === 0) return null;
  return (
    <button type="button" className={LINK} aria-expanded={open} onClick={toggle}>
      {open ? `Fold ${count} ${word}` : `${count} more ${word}: show`}
    </button>
  );
}

type NamesProps = {
  narrow: boolean;
  many: boolean;
  rows: Marks['rows'];
  groups: Marks['groups'];
  relay: number | null;
  devices: Map<string, Device>;
  working: Set<string>;
  data: Picture;
  me: string;
};

function Names({ narrow, many, rows, groups, relay, devices, working, data, me }: NamesProps) {
  const network = useNetwork();
  return (
    <>
      <ul className={`absolute inset-x-0 ${narrow ? 'top-[24px]' : 'top-[24px]'}`}>
        {rows.map((row) => {
          const device = devices.get(row.id)!;
          const state = stateOf(device, working);
          return (
            <li
              key={row.id}
              style={{ top: narrow ? row.y - 38 : row.y - (many ? 12 : 19) }}
              className={`absolute flex gap-2.5 ${narrow ? 'inset-x-0 z-[1] items-center' : 'inset-x-0 pr-3'}`}
            >
              <span className={narrow ? '' : many ? 'pt-[6px]' : 'pt-[5px]'}>
                <Glyph state={state} />
              </span>
              <span className={`min-w-0 leading-[18px] ${narrow ? 'flex flex-1 items-baseline gap-2' : ''} ${narrow || many ? 'leading-[24px]' : ''}`}>
                <Link
                  to="/n/$network/devices/$device"
                  params={{ network, device: device.device }}
                  className={`font-600 break-words hover:underline ${many ? 'text-13' : 'text-14'} ${device.state === 'offline' ? 'text-ink-2' : ''} ${narrow ? 'inline-block min-h-[24px] min-w-[24px] bg-ground pr-1 leading-[24px]' : ''}`}
                >
                  {device.name}
                </Link>
                {!many && !narrow && <span className="block text-12 text-ink-3">{about(device, me)}</span>}
                {narrow && <span className="mr-1.5 ml-auto bg-ground px-1 text-12 text-ink-2">{doing(device, data, true)}</span>}
              </span>
            </li>
          );
        })}
        {relay !== null && (
          <li style={{ top: narrow ? relay - 34 : relay - 9 }} className="absolute inset-x-0 flex items-center gap-2.5">
            <Glyph state="relay" />
            <span className={narrow ? 'bg-ground pr-1' : ''}>
              <b className="text-14">relay</b> <span className="text-12 text-ink-3">sealed packets only</span>
            </span>
          </li>
        )}
      </ul>
      {!narrow &&
        groups.map((group) => (
          <p key={group.y} style={{ top: 24 + group.y - 4 }} className="absolute right-5 left-0 border-b border-line pb-0.5 text-12 text-ink-2">
            {group.name || 'a member'}
          </p>
        ))}
    </>
  );
}

function about(device: Device, me: string): string {
  const { capability, condition } = device;
  if (!capability) return device.state === 'pending' ? 'asks to join' : 'not heard from yet';
  const matters = capability.gpus?.[0]?.name ?? (condition.battery !== undefined ? `battery ${percent(condition.battery)}` : `${capability.cores} cores`);
  return `${device.owner === me ? '' : ''}tier ${capability.tier} · ${matters}`;
}

/** One line of what a device does now. */
function doing(device: Device, data: Picture, short = false): string {
  const job = data.stitches.find((one) => one.worker === device.device && one.finished_ms === null);
  if (job) return `${job.workload || 'at work'} · ${span((data.now_ms - job.started_ms) / 1000)} so far`;
  if (device.state === 'offline') return device.last_seen_ms ? `offline since ${clock(device.last_seen_ms).slice(0, 5)}` : 'never here yet';
  if (device.state === 'pending') return 'asks to join';
  if (device.state !== 'ready' && device.state !== 'busy') return STATE_WORDS[device.state as State];
  if (!device.contributes && !short) return `own jobs only: ${device.limit}`;
  return device.contributes ? 'ready' : 'own jobs only';
}

function Now({ device, data, path, short }: { device: Device | undefined; data: Picture; path: string | undefined; short: boolean }) {
  if (!device) return null;
  const busy = data.stitches.some((one) => one.worker === device.device && one.finished_ms === null);
  const ink = busy ? 'text-live' : device.state === 'pending' ? 'text-warn' : 'text-ink-2';
  return (
    <>
      {path && !short && (
        <span className="block">
          <PathMark path={path} />
        </span>
      )}
      <span className={`block ${ink}`}>{doing(device, data)}</span>
    </>
  );
}

/** By which path each device was reached last. */
function lastPaths(stitches: Stitch[]): Map<string, string> {
  const found = new Map<string, string>();
  for (const one of [...stitches].sort((a, b) => a.started_ms - b.started_ms)) {
    if (one.path && one.requester !== one.worker) found.set(one.worker, one.path);
  }
  return found;
}

function inWords(one: Stitch, names: Names): string {
  const where = names.device(one.worker);
  if (!one.requester) return `${where} works for somebody else${one.finished_ms ? '' : ' now'}.`;
  const took = one.finished_ms ? `, ${span((one.finished_ms - one.started_ms) / 1000)}` : '';
  const path = one.path && one.path !== 'local' ? `, ${one.path}` : '';
  const what = one.code ? `${one.workload} failed (${one.code})` : one.finished_ms ? deed(one.workload, one.units) : `${one.workload} now`;
  return `${names.device(one.requester)} → ${where}${path}: ${what}${took}.`;
}

function Legend() {
  const [gone, setGone] = useState(() => localStorage.getItem('legend') === 'off');
  if (gone) return null;
  const items: [ReactNode, string][] = [
    [<path key="1" d="M0 8h34" className="stroke-thread" strokeWidth="1.5" />, 'a device, while it is here'],
    [
      <g key="2">
        <path d="M17 3v9" className="stroke-ink-2" strokeWidth="1.7" />
        <circle cx="17" cy="4" r="3.5" className="fill-ground stroke-ink-2" strokeWidth="1.6" />
        <rect x="17" y="9" width="17" height="7" rx="1.5" className="fill-done stroke-thread" />
      </g>,
      'a job, from who asks to who works',
    ],
    [<path key="3" d="m17 3 5 5-5 5-5-5z" className="fill-relay" />, 'through the relay'],
    [<rect key="4" x="2" y="3" width="30" height="10" rx="2" className="fill-live-fill" />, 'working now'],
    [<rect key="5" x="3" y="3" width="28" height="10" rx="2" strokeDasharray="3 2" className="fill-none stroke-fail" />, 'failed, moved on'],
  ];
  return (
    <div className="mt-4 flex flex-wrap items-center gap-x-7 gap-y-2 border-b border-line pb-5 text-12 text-ink-3">
      {items.map(([mark, words]) => (
        <span key={words} className="inline-flex items-center gap-2">
          <svg width="34" height="17" aria-hidden="true">
            {mark}
          </svg>
          {words}
        </span>
      ))}
      <button
        type="button"
        className={`ml-auto ${LINK}`}
        onClick={() => {
          localStorage.setItem('legend', 'off');
          setGone(true);
        }}
      >
        Got it
      </button>
    </div>
  );
}

function DeviceTable({ data, working }: { data: Picture; working: Set<string> }) {
  const network = useNetwork();
  const names = useNames();
  const me = useMe().data?.member ?? '';
  return (
    <table className="w-full text-13">
      <thead>
        <tr className="border-b border-line text-left text-12 text-ink-3">
          {['device', 'owner', 'state', 'machine', 'doing'].map((head) => (
            <th key={head} className={`py-2 font-400 ${['owner', 'machine'].includes(head) ? 'max-wide:hidden' : ''}`}>
              {head}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {ordered(data.devices, me, names.person).map((one) => (
          <tr key={one.device} className="h-[36px] border-b border-line">
            <th scope="row" className="text-left font-600">
              <Link to="/n/$network/devices/$device" params={{ network, device: one.device }} className="hover:underline">
                {one.name}
              </Link>
            </th>
            <td className="text-ink-2 max-wide:hidden">{names.person(one.owner)}</td>
            <td>
              <span className="inline-flex items-center gap-2">
                <Glyph state={stateOf(one, working)} /> {STATE_WORDS[stateOf(one, working)]}
              </span>
            </td>
            <td className="text-ink-2 max-wide:hidden">{about(one, me)}</td>
            <td className="text-ink-2">{doing(one, data)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

type Event = { at: number; key: string; text: ReactNode; job?: string | null };

/** What happened in the window, as sentences; what is ordinary is in the picture and not here. */
function Lately({ data }: { data: Picture }) {
  const network = useNetwork();
  const names = useNames();
  const events = useMemo(() => {
    const found: Event[] = [];
    for (const device of data.devices) {
      for (const change of device.history.slice(1)) {
        const text = happened(device.name, change.state);
        if (change.since_ms >= data.since_ms && text) found.push({ at: change.since_ms, key: `${device.device}${change.since_ms}`, text });
      }
    }
    for (const one of data.stitches.filter((stitch) => stitch.code && stitch.requester)) {
      const next = data.stitches.find((other) => other.job === one.job && other.attempt === one.attempt + 1);
      const text = (
        <>
          <b>{names.device(one.worker)}</b> took a job from {names.device(one.requester)} and failed ({one.code}).{' '}
          {next && (
            <>
              The job went to <b>{names.device(next.worker)}</b>.
            </>
          )}
        </>
      );
      found.push({ at: one.finished_ms ?? one.started_ms, key: `${one.job}${one.attempt}`, text, job: one.job });
    }
    return found.sort((a, b) => b.at - a.at).slice(0, 8);
  }, [data, names]);
  const done = data.stitches.filter((one) => one.finished_ms !== null && !one.code);
  const jobs = new Set(done.map((one) => one.job ?? `${one.worker}${one.started_ms}`)).size;
  const first = done.filter((one) => one.attempt === 1).length;
  const direct = done.filter((one) => one.path === 'direct').length;
  const relayed = done.filter((one) => one.path === 'relayed').length;
  return (
    <div className="mt-9 grid gap-x-16 gap-y-9 wider:grid-cols-[minmax(0,1fr)_360px]">
      <section>
        <h2 className="mb-3 text-15 font-600">Lately</h2>
        {events.length === 0 && <p className="text-13 text-ink-2">Nothing out of the ordinary.</p>}
        <ul>
          {events.map((event) => (
            <li key={event.key} className="flex gap-5 border-b border-line py-2.5 text-13">
              <time className="shrink-0 text-ink-3" dateTime={new Date(event.at).toISOString()}>
                {clock(event.at)}
              </time>
              <span className="flex-1">{event.text}</span>
              {event.job && (
                <Link to="/n/$network/jobs/$job" params={{ network, job: event.job }} className={LINK}>
                  Why
                </Link>
              )}
            </li>
          ))}
        </ul>
      </section>
      <section>
        <h2 className="mb-3 text-15 font-600">In this window</h2>
        <dl className="text-13">
          <Fact name="Jobs done" value={String(jobs)} />
          <Fact name="Done at first try" value={done.length ? percent(first / done.length) : '–'} />
          <Fact name="Median time" value={done.length ? span(median(done.map((one) => (one.finished_ms! - one.started_ms) / 1000))) : '–'} />
          <Fact name="Sent direct" value={direct + relayed ? percent(direct / (direct + relayed)) : '–'} />
        </dl>
      </section>
    </div>
  );
}

function Fact({ name, value }: { name: string; value: string }) {
  return (
    <div className="flex justify-between border-b border-line py-2.5">
      <dt className="text-ink-2">{name}</dt>
      <dd className="font-600">{value}</dd>
    </div>
  );
}

function median(numbers: number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}

function happened(name: string, state: string): ReactNode {
  const words: Record<string, string> = {
    offline: ' went offline.',
    ready: ' is ready.',
    paused: ' was paused.',
    draining: ' finishes its work and takes no more.',
    pending: ' waits for approval.',
  };
  return words[state] ? (
    <>
      <b>{name}</b>
      {words[state]}
    </>
  ) : null;
}

/** Room in the picture, and the ways to fill it. */
function Empty({ add }: { add: () => void }) {
  return (
    <>
      <div aria-hidden="true" className="mt-2">
        {['your desktop', 'a friend’s server', 'a phone on its charger'].map((name) => (
          <div key={name} className="grid h-[42px] grid-cols-[minmax(110px,200px)_minmax(0,1fr)] items-center text-13 text-ink-3 wider:mr-[190px]">
            <span className="pl-[22px]">{name}</span>
            <svg className="h-[2px] w-full">
              <path d="M0 1h3000" className="stroke-thread" strokeWidth="1.5" strokeDasharray="1.5 7" />
            </svg>
          </div>
        ))}
      </div>
      <div className="mt-9 grid gap-9 wide:grid-cols-2">
        <section className="border-t border-ink pt-4">
          <h2 className="mb-1 text-15 font-600">Another machine of yours</h2>
          <p className="mb-3 text-13 text-ink-2">Install Mesh there, then use a link or a code.</p>
          <Button onClick={add}>Make a link</Button>
        </section>
        <section className="border-t border-ink pt-4">
          <h2 className="mb-1 text-15 font-600">What Mesh can and cannot see</h2>
          <p className="text-13 text-ink-2">
            The coordinator and the relay never see your data and hold no key that opens it. The device that does the work sees it, and so
            can its owner.
          </p>
        </section>
      </div>
    </>
  );
}
