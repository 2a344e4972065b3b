/** The live picture: the weave with the names beside it, and its legend. */
import { Link } from '@tanstack/react-router';
import { type ReactNode, useEffect, useMemo, useState } from 'react';
import { LINK } from '../parts/controls';
import { Glyph, PathMark, type State, STATE_WORDS } from '../parts/marks';
import { Weave } from '../parts/Weave';
import { clock, deed, percent, span } from '../parts/words';
import type { Marks } from '../pictures/weave';
import type { Device, Picture, Stitch } from './api';
import { useMe, useMembers, useNetwork, useNames, type Names } from './data';
import { facts, folded, ordered } from './facts';
import { useLiveNow } from './Frame';
import { stateOf } from './deviceState';

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

export function Live({ data, at, seconds, narrow, moving, working }: LiveProps) {
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

export function about(device: Device, me: string): string {
  const { capability, condition } = device;
  if (!capability) return device.state === 'pending' ? 'asks to join' : 'not heard from yet';
  const matters = capability.gpus?.[0]?.name ?? (condition.battery !== undefined ? `battery ${percent(condition.battery)}` : `${capability.cores} cores`);
  return `${device.owner === me ? '' : ''}tier ${capability.tier} · ${matters}`;
}

/** One line of what a device does now. */
export function doing(device: Device, data: Picture, short = false): string {
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
export function lastPaths(stitches: Stitch[]): Map<string, string> {
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
