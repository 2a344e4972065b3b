/** One job: what came of it, and why it went where it went, as a through-line. */
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { useParams } from '@tanstack/react-router';
import { useLayoutEffect, useMemo, useRef, useState } from 'react';
import { Button, Failure, LINK } from '../parts/controls';
import { PathMark } from '../parts/marks';
import { credits, deed, moment, span } from '../parts/words';
import { type Candidate, rounded, type Row, TERM_WORDS, TERMS, through } from '../pictures/through';
import { ApiError, get, type Job, post, type Why } from './api';
import { type Names, useMe, useNames, useNetwork } from './data';
import { useNarrow } from './Devices';
import { Sentence, Waiting } from './Frame';
import { cause, cost, outcomeOf, took } from './Jobs';

export function JobPage() {
  const network = useNetwork();
  const { job: id } = useParams({ strict: false }) as { job: string };
  const names = useNames();
  const job = useQuery({ queryKey: ['job', network, id], queryFn: () => get<Job>(`/v1/networks/${network}/jobs/${id}`) });
  const why = useQuery({ queryKey: ['job', network, id, 'why'], queryFn: () => get<Why>(`/v1/networks/${network}/jobs/${id}/why`) });
  return (
    <>
      <p className="mb-2 text-13 text-ink-3">
        <Link to="/n/$network/jobs" params={{ network }} className={LINK}>
          Jobs
        </Link>{' '}
        / <code className="text-12 select-all">{id}</code>
      </p>
      {!job.data && (
        <>
          <Sentence>{job.error ? 'This job cannot be shown.' : <span className="text-ink-3">A job</span>}</Sentence>
          <Waiting error={job.error} what="This job" />
        </>
      )}
      {job.data && <Head job={job.data} names={names} />}
      {why.data && job.data && <Explained job={job.data} why={why.data} names={names} />}
      {why.error && job.data && <Waiting error={why.error} what="Why it went there" />}
    </>
  );
}

function Head({ job, names }: { job: Job; names: Names }) {
  const network = useNetwork();
  const outcome = outcomeOf(job);
  const last = job.attempts.at(-1);
  const seconds = took(job);
  const earlier = job.attempts.filter((one) => one.code && one !== last);
  const where = job.device ? (
    <Link to="/n/$network/devices/$device" params={{ network, device: job.device }} className={LINK}>
      {names.device(job.device)}
    </Link>
  ) : null;
  const price = job.own ? ', free: both machines are the same person’s' : outcome === 'done' ? `, for ${credits(job.charge)} credits` : '';
  return (
    <>
      <Sentence
        below={
          <>
            {job.workload} · {job.model} · {job.sensitivity} data · asked by {names.person(job.member)} from {names.device(job.requester)} ·{' '}
            {moment(job.created_ms)}
          </>
        }
      >
        {outcome === 'running' && <>Works on {where ?? 'a device'} now.</>}
        {outcome === 'done' && (
          <>
            {deed(job.workload, job.units).replace(/^./, (letter) => letter.toUpperCase())} on {where}
            {seconds !== null && `, in ${span(seconds)}`}
            {last?.path && last.path !== 'local' && ` over a ${last.path} path`}
            {price}.
          </>
        )}
        {outcome === 'failed' && <>This job {job.state === 'cancelled' ? 'was given up' : `failed${job.attempts.length > 1 ? ` on ${job.attempts.length} devices` : ''}`}. Nothing was charged.</>}
        {earlier.length > 0 && (
          <span className="text-ink-3">
            {' '}
            Attempt {last?.attempt}: {earlier.map((one) => `${names.device(one.worker)} did not do it`).join(', ')}.
          </span>
        )}
      </Sentence>
      {outcome === 'running' && <Cancel job={job} />}
    </>
  );
}

function Cancel({ job }: { job: Job }) {
  const network = useNetwork();
  const me = useMe();
  const queries = useQueryClient();
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<ApiError | null>(null);
  if (me.data?.member !== job.member) return null;
  async function cancel() {
    setBusy(true);
    try {
      await post(`/v1/networks/${network}/jobs/${job.job}/cancel`);
      await queries.invalidateQueries({ queryKey: ['job'] });
    } catch (refused) {
      setError(refused as ApiError);
    }
    setBusy(false);
  }
  return (
    <div className="mb-5">
      <Button look="fail" busy={busy && 'Cancelling…'} onClick={cancel}>
        Cancel
      </Button>
      {error && <Failure message={error.message} code={error.refused.code} />}
    </div>
  );
}

/** Reasons name devices by their ids; people know them by name. */
function named(text: string, ids: string[], names: Names): string {
  return ids.reduce((said, id) => said.replaceAll(id, names.device(id)), text);
}

function Explained({ job, why, names }: { job: Job; why: Why; names: Names }) {
  const candidates = useMemo(() => {
    const ids = [...new Set([...why.scores.map((one) => one.device), ...why.gates.map((one) => one.device)])];
    return ids.map((id): Candidate => {
      const score = why.scores.find((one) => one.device === id) ?? null;
      return { id, score, chosen: id === why.chosen, failed: score ? [] : why.gates.filter((one) => one.device === id && !one.passed) };
    });
  }, [why]);
  const scored = candidates.filter((one) => one.score).sort((a, b) => b.score!.total - a.score!.total);
  const chosen = scored.find((one) => one.chosen);
  const [against, setAgainst] = useState<string | null>(null);
  const [ghost, setGhost] = useState(false);
  const runner = scored.find((one) => one.id === against) ?? scored.find((one) => !one.chosen);
  const ids = candidates.map((one) => one.id);
  return (
    <>
      <section className="mt-7">
        <h2 className="mb-3 text-15 font-600">{why.chosen ? `Why ${names.device(why.chosen)}` : 'Why nowhere'}</h2>
        {candidates.length === 0 ? (
          <p className="text-13 text-ink-2">It was not placed by the coordinator: its requester went to a device that was at hand, or the explanation is gone.</p>
        ) : (
          <Line candidates={candidates} names={names} ghost={ghost && runner ? { id: runner.id, by: chosen!.score!.total - runner.score!.total } : null} />
        )}
      </section>
      <div className="mt-9 grid gap-x-16 gap-y-9 wider:grid-cols-2">
        {why.would_change.length > 0 && (
          <section>
            <h2 className="mb-3 text-15 font-600">What would have changed it</h2>
            <ul>
              {why.would_change.map((text) => (
                <li key={text} className="flex gap-4 border-b border-line py-2.5 text-13">
                  <span className="flex-1">{named(text, ids, names)}.</span>
                  {runner && chosen && text.startsWith(runner.id) && text.includes('would be first') && (
                    <button type="button" className={LINK} aria-pressed={ghost} onClick={() => setGhost(!ghost)}>
                      {ghost ? 'shown above' : 'show'}
                    </button>
                  )}
                </li>
              ))}
            </ul>
          </section>
        )}
        {chosen && runner && (
          <section>
            <h2 className="mb-3 flex flex-wrap items-baseline gap-2 text-15 font-600">
              {names.device(chosen.id)} against{' '}
              {scored.length > 2 ? (
                <select aria-label="Against which device" value={runner.id} onChange={(event) => setAgainst(event.target.value)} className="rounded-4 border border-line bg-transparent px-1 font-600">
                  {scored
                    .filter((one) => !one.chosen)
                    .map((one) => (
                      <option key={one.id} value={one.id} className="bg-raised">
                        {names.device(one.id)}
                      </option>
                    ))}
                </select>
              ) : (
                names.device(runner.id)
              )}
            </h2>
            <Terms one={chosen} other={runner} names={names} />
          </section>
        )}
      </div>
      <Attempts job={job} names={names} />
    </>
  );
}

function Line({ candidates, names, ghost }: { candidates: Candidate[]; names: Names; ghost: { id: string; by: number } | null }) {
  const narrow = useNarrow();
  const frame = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(0);
  useLayoutEffect(() => {
    const watch = new ResizeObserver(([entry]) => setWidth(Math.floor(entry!.contentRect.width)));
    watch.observe(frame.current!);
    return () => watch.disconnect();
  }, []);
  const wide = Math.max(width, 300);
  const box = narrow
    ? { width: wide, names: wide - 160, gates: 96, totals: 0, row: 58, top: 6 }
    : { width: wide, names: 130, gates: Math.min(336, wide * 0.32), totals: 70, row: 38, top: 66 };
  const marks = through(candidates, narrow ? { ...box, totals: 0 } : box);
  const ruler = narrow ? { x1: 0, x2: wide - 62 } : marks.ruler;
  const scale = (x: number) => (narrow && marks.ruler ? ((x - marks.ruler.x1) / (marks.ruler.x2 - marks.ruler.x1)) * (wide - 62) : x);
  return (
    <div ref={frame} className="min-w-0">
      <div className="sr-only">
      <table>
        <caption>Gates and scores of every device</caption>
        <tbody>
          {marks.rows.map((row) => (
            <tr key={row.id}>
              <th scope="row">{names.device(row.id)}</th>
              <td>{row.total ? `score ${row.total}${row.chosen ? ', chosen' : ''}` : row.shut?.reason}</td>
            </tr>
          ))}
        </tbody>
      </table>
      </div>
      <svg width={width || undefined} height={marks.height + 24} className="block overflow-visible" aria-hidden="true">
        {!narrow && (
          <>
            <text x={box.names + box.gates / 2} y="14" textAnchor="middle" className="fill-ink-3 text-12">
              Gates: may it?
            </text>
            {marks.gates.map((gate) => (
              <text key={gate.gate} x={gate.x} y="46" textAnchor="middle" className="fill-ink-2 text-12">
                {gate.gate}
              </text>
            ))}
            {marks.ruler && <Ruler marks={marks} />}
          </>
        )}
        {marks.rows.map((row) => (
          <LineRow key={row.id} row={row} marks={marks} names={names} narrow={narrow} scale={scale} width={wide} names0={box.names} />
        ))}
        {ghost && <Ghost row={marks.rows.find((row) => row.id === ghost.id)} by={ghost.by} ruler={ruler} scale={scale} narrow={narrow} />}
        {marks.beat && (
          <g>
            <path
              d={`M${scale(marks.beat.x)} ${narrow ? 26 : 60}V${(marks.rows.findLast((row) => row.segments.length > 0)?.y ?? 0) + (narrow ? 28 : 20)}`}
              className="stroke-live"
              strokeWidth="1.7"
              strokeDasharray="1.7 3.4"
            />
            {!narrow && (
              <text
                x={Math.min(scale(marks.beat.x), wide - 40)}
                y={(marks.rows.findLast((row) => row.segments.length > 0)?.y ?? 0) + 36}
                textAnchor="middle"
                className="fill-live stroke-ground text-12 font-600 [paint-order:stroke] [stroke-width:4px]"
              >
                {marks.beat.label}
              </text>
            )}
          </g>
        )}
      </svg>
    </div>
  );
}

function Ruler({ marks }: { marks: ReturnType<typeof through> }) {
  const ruler = marks.ruler!;
  return (
    <g>
      <text x={ruler.x1} y="14" className="fill-ink-3 text-12">
        Score: how good is it? Six terms, laid end to end
      </text>
      <path d={`M${ruler.x1} 52H${ruler.x2}`} className="stroke-edge" />
      {ruler.ticks.map((tick) => (
        <g key={tick.label}>
          <path d={`M${tick.x} 46v6`} className="stroke-edge" />
          <text x={tick.x} y="40" textAnchor="middle" className="fill-ink-3 text-12">
            {tick.label}
          </text>
        </g>
      ))}
    </g>
  );
}

type LineRowProps = {
  row: Row;
  marks: ReturnType<typeof through>;
  names: Names;
  narrow: boolean;
  scale: (x: number) => number;
  width: number;
  names0: number;
};

/** Terms are steps of one ink, each a step lighter; the chosen bar is the strongest in both themes. */
const STEPS = ['opacity-100', 'opacity-80', 'opacity-65', 'opacity-50', 'opacity-40', 'opacity-30'];

function LineRow({ row, marks, names, narrow, scale, width, names0 }: LineRowProps) {
  const name = names.device(row.id);
  const barY = narrow ? row.y + 4 : row.y;
  const ink = row.chosen ? 'fill-live-fill' : 'fill-ink-3';
  const start = row.segments[0] ? scale(row.segments[0].x1) : 0;
  const end = row.segments.length ? scale(row.segments.at(-1)!.x2) : 0;
  const lineY = narrow ? row.y - 14 : row.y;
  return (
    <g>
      <text x="0" y={narrow ? row.y - 10 : row.y - 2} className={`text-14 font-600 ${row.shut ? 'fill-ink-2' : 'fill-ink'}`}>
        {name}
      </text>
      {!narrow && (
        <text x="0" y={row.y + 13} className="fill-ink-3 text-12">
          {names.owner(row.id)}
        </text>
      )}
      <path
        d={`M${narrow ? names0 : names0 - 4} ${lineY}H${row.end}`}
        className={row.chosen ? 'stroke-live' : 'stroke-thread'}
        strokeWidth={row.chosen ? 2.5 : 1.5}
      />
      {marks.gates.map((gate) => {
        const passed = !row.shut || gate.x < row.shut.x;
        const here = row.shut?.gate === gate.gate;
        if (here) return <path key={gate.gate} d={`M${gate.x} ${lineY - 9}v18`} strokeWidth="3" className={row.shut!.own ? 'stroke-warn' : 'stroke-ink'} />;
        if (!passed) return null;
        return <path key={gate.gate} d={`M${gate.x} ${lineY - (narrow ? 5 : 17)}v${narrow ? 3 : 12}m0 ${narrow ? 4 : 10}v${narrow ? 3 : 12}`} className="stroke-edge" />;
      })}
      {row.shut && (
        <text x={narrow ? 0 : row.shut.x + 12} y={narrow ? row.y + 8 : row.y + 4} className={`text-13 ${row.shut.own ? 'fill-warn' : 'fill-ink-2'}`}>
          {row.shut.reason.slice(0, Math.floor((width - (narrow ? 0 : row.shut.x)) / 6.6))}
        </text>
      )}
      {row.segments.length > 0 && (
        <>
          <rect x={start - 1} y={barY - 9} width={end - start + 2} height="18" rx="2" className={`fill-none ${row.chosen ? 'stroke-live' : 'stroke-thread'}`} />
          {row.segments.map((segment, at) => {
            const x = scale(segment.x1);
            const wide = Math.max(scale(segment.x2) - x - 1.5, 0);
            return <rect key={segment.term} x={x} y={barY - 8} width={wide} height="16" className={`${ink} ${STEPS[at]}`} />;
          })}
          {row.chosen &&
            !narrow &&
            row.segments
              .filter((segment) => segment.x2 - segment.x1 > TERM_WORDS[segment.term].length * 6.2)
              .map((segment) => (
                <text key={segment.term} x={segment.x1 + 1} y={barY - 12} className="fill-ink-2 text-12">
                  {TERM_WORDS[segment.term]}
                </text>
              ))}
          <text x={width} y={barY + 5} textAnchor="end" className={`text-14 font-600 ${row.chosen ? 'fill-live' : 'fill-ink'}`}>
            {row.total}
          </text>
        </>
      )}
    </g>
  );
}

type GhostProps = { row: Row | undefined; by: number; ruler: { x1: number; x2: number } | null; scale: (x: number) => number; narrow: boolean };

/** How much the runner-up lacked, laid at the end of its bar: it then ends where the winner does. */
function Ghost({ row, by, ruler, scale, narrow }: GhostProps) {
  if (!row?.segments.length || !ruler) return null;
  const x = scale(row.segments.at(-1)!.x2);
  const wide = Math.max(by * (ruler.x2 - ruler.x1), 2) + 3;
  const y = (narrow ? row.y + 4 : row.y) - 8;
  return (
    <>
      <pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">
        <path d="M0 0v6" className="stroke-live" strokeWidth="2.4" />
      </pattern>
      <rect x={x} y={y} width={wide} height="16" fill="url(#hatch)" strokeDasharray="3 2" className="stroke-live" />
    </>
  );
}

function Terms({ one, other, names }: { one: Candidate; other: Candidate; names: Names }) {
  const mine = rounded(one.score!.terms, one.score!.total);
  const theirs = rounded(other.score!.terms, other.score!.total);
  const difference = (value: number) => (value > 0 ? `+${value.toFixed(3)}` : value < 0 ? `−${Math.abs(value).toFixed(3)}` : '0.000');
  return (
    <table className="w-full text-13">
      <thead>
        <tr className="border-b border-line text-12 text-ink-3">
          <th className="py-2 text-left font-400">term</th>
          <th className="text-right font-600 text-live">{names.device(one.id)}</th>
          <th className="text-right font-400">{names.device(other.id)}</th>
          <th className="text-right font-400">difference</th>
        </tr>
      </thead>
      <tbody>
        {TERMS.map((term) => (
          <tr key={term} className="border-b border-line">
            <th scope="row" className="py-2 text-left font-400">
              {TERM_WORDS[term]}
            </th>
            <td className="text-right text-live">{mine[term].toFixed(3)}</td>
            <td className="text-right">{theirs[term].toFixed(3)}</td>
            <td className="text-right">{difference(mine[term] - theirs[term])}</td>
          </tr>
        ))}
        <tr className="border-t-2 border-edge font-600">
          <th scope="row" className="py-2 text-left">
            total
          </th>
          <td className="text-right text-live">{one.score!.total.toFixed(3)}</td>
          <td className="text-right">{other.score!.total.toFixed(3)}</td>
          <td className="text-right">{difference(Math.round(one.score!.total * 1000) / 1000 - Math.round(other.score!.total * 1000) / 1000)}</td>
        </tr>
      </tbody>
    </table>
  );
}

function Attempts({ job, names }: { job: Job; names: Names }) {
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
