/** What happened lately, as sentences. */
import { Link } from '@tanstack/react-router';
import { type ReactNode, useMemo } from 'react';
import { LINK } from '../parts/controls';
import { clock, percent, span } from '../parts/words';
import type { Picture } from './api';
import { useNetwork, useNames } from './data';

type Event = { at: number; key: string; text: ReactNode; job?: string | null };

/** What happened in the window, as sentences; what is ordinary is in the picture and not here. */
export function Lately({ data }: { data: Picture }) {
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
