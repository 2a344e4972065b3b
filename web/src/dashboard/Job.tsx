/** One job: what came of it, what it cost, and its attempts. */
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { useParams } from '@tanstack/react-router';
import { useState } from 'react';
import { Button, Failure, LINK } from '../parts/controls';
import { credits, deed, moment, span } from '../parts/words';
import { ApiError, get, type Job, post, type Why } from './api';
import { type Names, useMe, useNames, useNetwork } from './data';
import { Sentence, Waiting } from './Frame';
import { outcomeOf, took } from './Jobs';
import { Explained } from './JobWhy';

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
