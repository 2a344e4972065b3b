/** Jobs: one line each; where it went, how long it waited and worked, what it cost, and why it failed if it did. */
import { useInfiniteQuery } from '@tanstack/react-query';
import { Link, useNavigate, useSearch } from '@tanstack/react-router';
import { Button, Pick } from '../parts/controls';
import { PathMark } from '../parts/marks';
import { credits, moment, span, units } from '../parts/words';
import { get, type Job } from './api';
import { useNames, useNetwork } from './data';
import { Sentence, Waiting } from './Frame';
import { type JobsNarrowed, jobsNarrowedOf, OUTCOMES } from './jobsFilter';
import { jobsSentence } from './sentences';

const PAGE = 50;
export function JobsPage() {
  const network = useNetwork();
  const names = useNames();
  const navigate = useNavigate();
  const narrowed = jobsNarrowedOf(useSearch({ strict: false }));
  const { outcome = 'all', workload = 'all' } = narrowed;
  const narrow = (change: JobsNarrowed) => void navigate({ to: '/n/$network/jobs', params: { network }, search: jobsNarrowedOf({ ...narrowed, ...change }) });
  const found = useInfiniteQuery({
    queryKey: ['jobs', network],
    initialPageParam: '',
    queryFn: ({ pageParam }) =>
      get<{ jobs: Job[]; cursor: string | null }>(`/v1/networks/${network}/jobs?limit=${PAGE}${pageParam ? `&cursor=${encodeURIComponent(pageParam)}` : ''}`),
    getNextPageParam: (last) => last.cursor ?? undefined,
  });
  const jobs = found.data?.pages.flatMap((page) => page.jobs) ?? [];
  const kinds = [...new Set([...jobs.map((one) => one.workload), ...(workload === 'all' ? [] : [workload])])];
  const shown = jobs.filter((one) => (outcome === 'all' || outcomeOf(one) === outcome) && (workload === 'all' || one.workload === workload));
  const longest = Math.max(1, ...shown.map((one) => took(one) ?? 0));
  if (!found.data) {
    return (
      <>
        <Sentence>
          <span className="text-ink-3">Jobs</span>
        </Sentence>
        <Waiting error={found.error} what="The list of jobs" />
      </>
    );
  }
  return (
    <>
      <Sentence below={jobs.length === 0 ? undefined : 'Records only: what was in a job never comes here.'}>{jobsSentence(jobs, found.hasNextPage)}</Sentence>
      {jobs.length === 0 ? (
        <p className="max-w-[62em] text-14 text-ink-2">
          Try one on your own machine: <code className="rounded-4 bg-sunken px-1.5 py-0.5 text-13">mesh run embeddings --text "hello"</code>
        </p>
      ) : (
        <div className="mb-4 flex flex-wrap gap-2">
          <Pick name="Outcome" value={outcome} onChange={(next) => narrow({ outcome: next })} options={OUTCOMES} />
          {(kinds.length > 1 || workload !== 'all') && (
            <Pick
              name="Workload"
              value={workload}
              onChange={(next) => narrow({ workload: next })}
              options={[{ value: 'all', label: 'all workloads' }, ...kinds.map((kind) => ({ value: kind, label: kind }))]}
            />
          )}
        </div>
      )}
      <ul>
        {shown.map((job) => (
          <li key={job.job} className="border-t border-line last:border-b">
            <Link
              to="/n/$network/jobs/$job"
              params={{ network, job: job.job }}
              className="grid grid-cols-[16px_minmax(0,1fr)_auto] items-center gap-x-3 gap-y-0.5 py-2 text-13 hover:bg-sunken wider:grid-cols-[16px_minmax(140px,1fr)_minmax(200px,1.4fr)_200px_96px_100px]"
            >
              <Outcome job={job} />
              <span className="font-600">
                {job.workload} <span className="font-400 text-ink-2">{units(job.workload, job.units)}</span>
              </span>
              <span className="max-wider:col-start-2 max-wider:row-start-2">
                {names.device(job.requester)} → {job.device ? names.device(job.device) : 'nowhere'}{' '}
                <span className="ml-1 text-12">{job.attempts.at(-1)?.path && <PathMark path={job.attempts.at(-1)!.path} />}</span>
                {outcomeOf(job) === 'failed' && <span className="block text-fail">{cause(job)}</span>}
              </span>
              <Took job={job} longest={longest} />
              <span className="text-right max-wider:col-start-3 max-wider:row-start-1">{cost(job)}</span>
              <time className="text-right text-ink-3 max-wider:col-start-3 max-wider:row-start-2" dateTime={new Date(job.created_ms).toISOString()}>
                {moment(job.created_ms)}
              </time>
            </Link>
          </li>
        ))}
      </ul>
      {shown.length === 0 && jobs.length > 0 && <p className="text-13 text-ink-2">None of the jobs shown is like that.</p>}
      {found.hasNextPage && (
        <Button className="mt-5" busy={found.isFetchingNextPage && 'Fetching…'} onClick={() => void found.fetchNextPage()}>
          Older ones
        </Button>
      )}
    </>
  );
}

export function outcomeOf(job: Job): 'running' | 'done' | 'failed' {
  if (job.state === 'running') return 'running';
  return ['failed', 'cancelled', 'broken'].includes(job.state) ? 'failed' : 'done';
}

export function cause(job: Job): string {
  const last = job.attempts.findLast((one) => one.code);
  return `${job.state === 'cancelled' ? 'cancelled' : (last?.code ?? job.code) || job.state}. Nothing was charged.`;
}

export function cost(job: Job): string {
  if (job.own) return 'free, own';
  return job.charge ? credits(job.charge) : outcomeOf(job) === 'running' ? '' : '0.00';
}

/** Seconds from the first attempt's start to the last one's end. */
export function took(job: Job): number | null {
  const starts = job.attempts.flatMap((one) => (one.started_ms ? [one.started_ms] : []));
  const ends = job.attempts.flatMap((one) => (one.finished_ms ? [one.finished_ms] : []));
  return starts.length && ends.length ? (Math.max(...ends) - Math.min(...starts)) / 1000 : null;
}

function Outcome({ job }: { job: Job }) {
  const outcome = outcomeOf(job);
  return (
    <span>
      <svg className="size-[11px] overflow-visible" viewBox="0 0 11 11" aria-hidden="true">
        {outcome === 'running' && <circle cx="5.5" cy="5.5" r="4.8" className="fill-live-fill" />}
        {outcome === 'done' && <path d="m1.5 6 3 3 5-7" className="fill-none stroke-ink-2" strokeWidth="1.5" />}
        {outcome === 'failed' && <path d="m2 2 7 7M9 2 2 9" className="stroke-fail" strokeWidth="1.8" />}
      </svg>
      <span className="sr-only">{outcome}</span>
    </span>
  );
}

/** Time on a shared logarithmic scale: attempts that came to nothing are outlined. */
function Took({ job, longest }: { job: Job; longest: number }) {
  const all = took(job);
  if (all === null) return <span className="text-12 text-live max-wider:hidden">{outcomeOf(job) === 'running' ? 'running' : ''}</span>;
  const wide = (seconds: number) => (Math.log1p(seconds * 100) / Math.log1p(longest * 100)) * 120;
  const lost = job.attempts.filter((one) => one.code).reduce((sum, one) => sum + ((one.finished_ms ?? 0) - (one.started_ms ?? 0)) / 1000, 0);
  const split = all > 0 ? (wide(all) * lost) / all : 0;
  return (
    <span className="flex items-center gap-2 max-wider:hidden">
      <svg className="h-[10px] w-[122px]" aria-hidden="true">
        {split > 1 && <rect x="0.5" y="0.5" width={split} height="9" rx="1.5" strokeDasharray="3 2" className="fill-none stroke-fail" />}
        <rect x={split + 0.5} y="0.5" width={Math.max(wide(all) - split, 2)} height="9" rx="1.5" className="fill-done stroke-thread" />
      </svg>
      <span className="text-12 text-ink-2">{span(all)}</span>
    </span>
  );
}
