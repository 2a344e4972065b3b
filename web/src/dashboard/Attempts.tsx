/** A job's attempts, by number. */
import { PathMark } from '../parts/marks';
import { credits, span } from '../parts/words';
import type { Job } from './api';
import type { Names } from './data';
import { cause, cost, outcomeOf } from './Jobs';

export function Attempts({ job, names }: { job: Job; names: Names }) {
  if (job.attempts.length === 0) return outcomeOf(job) === 'failed' ? <p className="mt-7 text-13 text-ink-2">{cause(job)}</p> : null;
  return (
    <section className="mt-9 max-w-[62em]">
      <h2 className="mb-3 text-15 font-600">Attempts</h2>
      <ol>
        {job.attempts.map((one) => (
          <li key={one.attempt} className="flex flex-wrap items-center gap-x-4 border-b border-line py-2.5 text-13">
            <span className="w-5 text-ink-3">{one.attempt}.</span>
            <b>{names.device(one.worker)}</b>
            <span className={one.code ? 'text-fail' : 'text-ink-2'}>{one.code ? `failed: ${one.code}` : one.state}</span>
            {one.path && <PathMark path={one.path} />}
            <span className="ml-auto text-ink-2">{one.started_ms && one.finished_ms ? span((one.finished_ms - one.started_ms) / 1000) : ''}</span>
            <span className="w-[88px] text-right">{one.pay ? credits(one.pay) : '0.00'}</span>
          </li>
        ))}
      </ol>
      <p className="mt-3 text-13 text-ink-2">In all: {cost(job) || 'not yet known'}.</p>
    </section>
  );
}
