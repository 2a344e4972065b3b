/** From what the coordinator says to what the weave draws. Pure. */
import { label } from '../parts/words';
import type { Facts, Line, Presence, Stitch as Drawn } from '../pictures/weave';
import type { Device, Picture, Stitch } from './api';

const PRESENCE: Record<string, Presence> = {
  ready: 'ready',
  busy: 'ready',
  paused: 'paused',
  draining: 'draining',
  pending: 'pending',
  offline: 'offline',
};
export const MANY = 20;

export type Folded = { ready: Device[]; away: Device[] };

/** One's own devices first, then by their owners' names; stable whatever they do. */
export function ordered(devices: Device[], me: string, person: (id: string) => string): Device[] {
  const rank = (one: Device) => [one.owner === me ? '' : `~${person(one.owner)}`, one.name] as const;
  return [...devices].sort((one, other) => {
    const [group, name] = rank(one);
    const [otherGroup, otherName] = rank(other);
    return group.localeCompare(otherGroup) || name.localeCompare(otherName);
  });
}

/** With many devices: those that ask for something, then those at work; the rest folds. */
export function folded(devices: Device[], stitches: Stitch[], open: { ready: boolean; away: boolean }): { shown: Device[]; rest: Folded } {
  if (devices.length <= MANY) return { shown: devices, rest: { ready: [], away: [] } };
  const touched = new Set(stitches.flatMap((one) => [one.worker, one.requester ?? '']));
  const problem = (one: Device) => ['pending', 'paused', 'draining'].includes(one.state);
  const quiet = devices.filter((one) => !problem(one) && !touched.has(one.device));
  const rest = { ready: quiet.filter((one) => one.state !== 'offline'), away: quiet.filter((one) => one.state === 'offline') };
  const hidden = new Set([...(open.ready ? [] : rest.ready), ...(open.away ? [] : rest.away)]);
  const shown = devices.filter((one) => !hidden.has(one));
  return { shown: [...shown.filter(problem), ...shown.filter((one) => !problem(one))], rest };
}

export function drawn(stitch: Stitch): Drawn {
  const outcome = stitch.code ? 'failed' : stitch.finished_ms === null ? 'running' : 'done';
  return {
    key: `${stitch.job ?? stitch.worker}.${stitch.attempt}.${stitch.started_ms}`,
    job: stitch.job ?? `${stitch.worker}${stitch.started_ms}`,
    asker: stitch.requester,
    worker: stitch.worker,
    from: stitch.started_ms,
    to: stitch.finished_ms,
    relayed: stitch.path === 'relayed',
    outcome,
    label: stitch.workload ? name(stitch, outcome) : '',
  };
}

function name(stitch: Stitch, outcome: string): string {
  const own = stitch.requester === stitch.worker && outcome === 'done' ? 'own' : label(stitch.workload);
  const pages = stitch.workload === 'ocr' ? ` · ${stitch.units} p` : '';
  return `${own}${pages}${stitch.attempt > 1 ? ` · attempt ${stitch.attempt}` : ''}`;
}

/** The lines of these devices, and the stitches between them. */
export function facts(picture: Picture, devices: Device[], seconds: number, group: (device: Device) => string, stale: number | null, now: number): Facts {
  return {
    now,
    seconds,
    lines: devices.map((one) => line(one, group(one))),
    stitches: picture.stitches.map(drawn),
    stale,
  };
}

function line(device: Device, group: string): Line {
  return {
    id: device.device,
    group,
    spans: device.history.map((one) => ({ state: PRESENCE[one.state] ?? 'offline', from: one.since_ms })),
  };
}
