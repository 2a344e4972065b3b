/** How a device was reached last, as far as jobs that this person may see tell. */
import { useQuery } from '@tanstack/react-query';
import { PathMark } from '../parts/marks';
import { moment } from '../parts/words';
import { type Device, get, type Job } from './api';
import { useNames, useNetwork } from './data';

/** Job records that are looked through. */
const LOOKED = 50;
/** Round trips that are shown: a panel is no list. */
const SHOWN = 4;
export type Reached = { path: string; other: string; at_ms: number };

/** The newest attempt between this device and another one whose path its asker told. */
export function newest(device: string, jobs: readonly Job[]): Reached | null {
  let found: Reached | null = null;
  for (const job of jobs) {
    for (const one of job.attempts) {
      const between = one.worker === device || job.requester === device;
      const at_ms = one.finished_ms ?? one.started_ms ?? 0;
      if (!between || (one.path !== 'direct' && one.path !== 'relayed') || at_ms <= (found?.at_ms ?? 0)) continue;
      found = { path: one.path, other: one.worker === device ? job.requester : one.worker, at_ms };
    }
  }
  return found;
}

/** A round trip as people read it: below 10 ms with a decimal. */
export function trip(rtt_ms: number): string {
  if (rtt_ms >= 1000) return `${(rtt_ms / 1000).toFixed(1)} s`;
  return rtt_ms < 10 ? `${rtt_ms.toFixed(1)} ms` : `${Math.round(rtt_ms)} ms`;
}

export function DevicePath({ device }: { device: Device }) {
  const network = useNetwork();
  const names = useNames();
  const jobs = useQuery({
    queryKey: ['jobs', network, 'paths'],
    queryFn: async () => (await get<{ jobs: Job[] }>(`/v1/networks/${network}/jobs?limit=${LOOKED}`)).jobs,
  });
  const trips = (device.round_trips ?? []).slice(0, SHOWN);
  const found = newest(device.device, jobs.data ?? []);
  if (!jobs.data) return <p className="text-13 text-ink-2">{jobs.error ? jobs.error.message : '…'}</p>;
  return (
    <>
      {found ? (
        <p className="flex flex-wrap items-center gap-x-2 text-13">
          <PathMark path={found.path} />
          <span className="min-w-0 break-words text-ink-2">
            with {names.device(found.other)}, as of <time dateTime={new Date(found.at_ms).toISOString()}>{moment(found.at_ms)}</time>
          </span>
        </p>
      ) : (
        <p className="text-13 text-ink-2">Not known yet: no job between it and another device told.</p>
      )}
      {trips.length > 0 ? (
        <>
          <p className="mt-2 text-12 text-ink-3">Round trip, as last measured between the two</p>
          <dl aria-label="Round trips" className="grid grid-cols-[1fr_auto] gap-x-4 gap-y-1 text-13">
            {trips.map((one) => (
              <div key={one.device} className="contents">
                <dt className="min-w-0 break-words text-ink-2">
                  to {names.device(one.device)}, <time dateTime={new Date(one.at_ms).toISOString()}>{moment(one.at_ms)}</time>
                </dt>
                <dd className="text-right whitespace-nowrap">{trip(one.rtt_ms)}</dd>
              </div>
            ))}
          </dl>
        </>
      ) : (
        <p className="mt-1 text-12 text-ink-3">
          No round trip was told yet. Measure it: <code className="break-all">mesh ping {device.name}</code>
        </p>
      )}
    </>
  );
}
