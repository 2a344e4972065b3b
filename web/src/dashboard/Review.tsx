/** What waits for an admin's eye: each case a question with its evidence, and the acts that answer it. */
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { type ReactNode, useState } from 'react';
import { Ask } from '../parts/Ask';
import { Button, Failure, LINK } from '../parts/controls';
import { capital, count, credits, many, moment } from '../parts/words';
import { ApiError, get, post } from './api';
import { type Names, useNames, useNetwork } from './data';
import { Sentence, Waiting } from './Frame';
import { Trust } from './Trust';

type Kind = 'quarantine' | 'miss' | 'mark' | 'unusual';
export type Item = { item: string; kind: Kind; device: string; owner: string | null; since_ms: number; facts: Record<string, unknown>; acts: string[] };
type Check = { id: string; requester: string; owner: string; job: string; attempt: number; state: string; asked_ms: number; decided_ms: number | null; cleared_ms: number | null };

/** What an act is called, what it says while it runs, and, where it cannot be taken back, what will happen. */
const ACTS: Record<string, { verb: string; doing: string; primary?: boolean; warning?: string }> = {
  release: {
    verb: 'Put back into use',
    doing: 'Putting back…',
    primary: true,
    warning: 'It begins as a new device does: nothing counts against it, and its next jobs are checked closely. Pay that was given back stays given back.',
  },
  dismiss: { verb: 'Keep the result', doing: 'Keeping…', primary: true },
  quarantine: {
    verb: 'Take out of use',
    doing: 'Taking out…',
    warning: 'It works for its owner alone until an admin puts it back into use. Its pay that is still pending goes back to those who paid it.',
  },
  clear: { verb: 'Clear', doing: 'Clearing…', primary: true },
  seen: { verb: 'All is well', doing: 'Noting…', primary: true },
};
const OUTCOMES: Record<string, string> = { asked: 'not answered yet', passed: 'the same', missed: 'another result', untold: 'could not tell', late: 'too late' };

export function ReviewPage() {
  const network = useNetwork();
  const names = useNames();
  const found = useQuery({
    queryKey: ['review', network],
    queryFn: async () => (await get<{ items: Item[] }>(`/v1/networks/${network}/review`)).items,
    refetchInterval: 30_000,
  });
  if (!found.data) {
    return (
      <>
        <Sentence>
          <span className="text-ink-3">Review</span>
        </Sentence>
        <Waiting error={found.error} what="What waits for review" />
      </>
    );
  }
  const waiting = found.data;
  return (
    <>
      <Sentence below="What you answer here is in the log that members read.">
        {waiting.length === 0 ? 'Nothing waits for your eye.' : `${capital(count(waiting.length))} ${waiting.length === 1 ? 'question waits' : 'questions wait'} for your answer.`}
      </Sentence>
      {waiting.length === 0 && (
        <p className="max-w-[62em] text-14 text-ink-2">
          Devices whose results differ from what others found, contradictions between two devices, and earnings far above the rest would stand here.
        </p>
      )}
      <ul className="max-w-[860px]">
        {waiting.map((one) => (
          <Case key={one.item} item={one} names={names} />
        ))}
      </ul>
    </>
  );
}

function Case({ item, names }: { item: Item; names: Names }) {
  const network = useNetwork();
  const queries = useQueryClient();
  const [open, setOpen] = useState(false);
  const [busy, setBusy] = useState('');
  const [asking, setAsking] = useState('');
  const [error, setError] = useState<ApiError | null>(null);
  const name = names.device(item.device);
  async function answer(act: string) {
    await post(`/v1/networks/${network}/review`, { item: item.item, act });
    await queries.invalidateQueries({ queryKey: ['review'] });
  }
  async function now(act: string) {
    setBusy(act);
    setError(null);
    try {
      await answer(act);
    } catch (refused) {
      setError(refused as ApiError);
    }
    setBusy('');
  }
  return (
    <li className="border-t border-line py-5 last:border-b">
      <h2 className="text-15 font-600 break-words">{question(item, names)}</h2>
      <p className="mt-1 text-13 text-ink-2">
        {evidence(item, names)}{' '}
        <span className="text-ink-3">
          Since <time dateTime={new Date(item.since_ms).toISOString()}>{moment(item.since_ms)}</time>.
        </span>
      </p>
      <p className="mt-1 flex flex-wrap gap-x-4 text-13">
        <Link to="/n/$network/devices/$device" params={{ network, device: item.device }} className={LINK}>
          {name}
        </Link>
        {typeof item.facts.job === 'string' && (
          <Link to="/n/$network/jobs/$job" params={{ network, job: item.facts.job }} className={LINK}>
            the job
          </Link>
        )}
        <button type="button" className={LINK} aria-expanded={open} onClick={() => setOpen(!open)}>
          {open ? 'fewer facts' : 'its checks'}
        </button>
      </p>
      {open && <Checks item={item} names={names} />}
      <div className="mt-3 flex flex-wrap gap-2">
        {item.acts.map((act) => {
          const known = ACTS[act] ?? { verb: act, doing: `${act}…` };
          return (
            <Button key={act} look={known.primary ? 'primary' : 'plain'} busy={busy === act && known.doing} onClick={() => (known.warning ? setAsking(act) : void now(act))}>
              {known.verb}
              {known.warning && '…'}
            </Button>
          );
        })}
        {item.owner && <Trust member={item.owner} name={names.person(item.owner)} />}
      </div>
      {error && (
        <div className="mt-3">
          <Failure message={error.message} code={error.refused.code} />
        </div>
      )}
      {asking && (
        <Ask title={`${ACTS[asking]!.verb}: ${name}?`} yes={ACTS[asking]!.verb} no="Leave it" doing={ACTS[asking]!.doing} close={() => setAsking('')} onYes={() => answer(asking)}>
          {ACTS[asking]!.warning}
        </Ask>
      )}
    </li>
  );
}

/** The newest spot checks of the device: what others found when they did its jobs again. */
function Checks({ item, names }: { item: Item; names: Names }) {
  const network = useNetwork();
  const found = useQuery({
    queryKey: ['review', network, item.item],
    queryFn: () => get<{ checks: Check[] }>(`/v1/networks/${network}/review/${encodeURIComponent(item.item)}`),
  });
  if (!found.data) return <Waiting error={found.error} what="Its checks" />;
  if (found.data.checks.length === 0) return <p className="mt-2 text-13 text-ink-2">This device was not checked yet.</p>;
  return (
    <table className="mt-3 w-full text-13">
      <thead>
        <tr className="text-left text-12 text-ink-3">
          <th className="pb-1 font-400">asked</th>
          <th className="pb-1 font-400">done again by</th>
          <th className="pb-1 font-400">found</th>
          <th className="pb-1 font-400">job</th>
        </tr>
      </thead>
      <tbody>
        {found.data.checks.map((one) => (
          <tr key={one.id} className="border-t border-line align-top">
            <td className="py-1.5 pr-3 text-ink-2">{moment(one.asked_ms)}</td>
            <td className="py-1.5 pr-3 break-words">
              {names.device(one.requester)} <span className="text-ink-3">of {names.person(one.owner)}</span>
            </td>
            <td className={`py-1.5 pr-3 ${one.state === 'missed' && !one.cleared_ms ? 'text-warn' : ''}`}>
              {OUTCOMES[one.state] ?? one.state}
              {one.cleared_ms && ', dismissed'}
            </td>
            <td className="py-1.5">
              <Link to="/n/$network/jobs/$job" params={{ network, job: one.job }} className={LINK}>
                attempt {one.attempt}
              </Link>
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

export function question(item: Item, names: Pick<Names, 'device' | 'person'>): ReactNode {
  const name = names.device(item.device);
  if (item.kind === 'quarantine') return `${name} is out of use. Put it back?`;
  if (item.kind === 'miss') return `${name}’s result was not found again. Keep it?`;
  if (item.kind === 'mark') return `Two devices contradict each other about ${name}’s work. Let it rest?`;
  return `${name} earned far more today than devices here do. Is that right?`;
}

export function evidence(item: Item, names: Pick<Names, 'device' | 'person'>): string {
  const { facts } = item;
  const owner = item.owner ? `${names.device(item.device)} is ${names.person(item.owner)}’s. ` : '';
  const number = (name: string) => Number(facts[name] ?? 0);
  if (item.kind === 'quarantine') return `${owner}${capital(many(number('misses'), 'result'))} of it could not be found again; it works for its owner alone.`;
  if (item.kind === 'miss') {
    const who = typeof facts.found_by === 'string' ? names.person(facts.found_by) : 'Its requester';
    return `${owner}${who}${facts.admin ? ', an admin,' : ''} did attempt ${number('attempt')} again and came to another result. One alone says little: machines and versions differ.`;
  }
  if (item.kind === 'mark') {
    const words: Record<string, string> = {
      double_use: 'one permit was used for two payments',
      double_submit: 'one attempt was given to two devices',
      denied: 'finished work was denied, or acknowledged for less than half',
      limit: 'it asked for more than its day allows',
      unsupported: 'it claims what nothing signed supports',
      unanswered: 'it let several devices do one job and answered none of them',
    };
    const other = typeof facts.other === 'string' ? ` The other side is ${names.person(facts.other)}.` : '';
    return `${owner}${capital(words[String(facts.kind)] ?? String(facts.kind))}: ${many(number('times'), 'time')}.${other}`;
  }
  return `${owner}It earned ${credits(number('earned'))} in 24 hours.`;
}
