/** The newest placements replayed with other weights: which would go elsewhere, and why. Nothing is saved by it. */
import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { useEffect, useState } from 'react';
import { LINK } from '../parts/controls';
import { many, moment } from '../parts/words';
import { TERM_WORDS, TERMS } from '../pictures/through';
import { post } from './api';
import { type Names, useNames, useNetwork } from './data';
import { Waiting } from './Frame';

const FEW = 5;
/** Sliders move often: what they come to rest at is asked for. */
const REST_MS = 250;

type Score = { device: string; terms: Record<string, number>; total: number };
type Moved = { job: string; requester: string; workload: string; created_ms: number; then: Score; stays: Score; goes: Score };
type Tried = { replayed: number; unknown: number; moved: Moved[] };

export function Replayed({ weights }: { weights: Record<string, number> }) {
  const network = useNetwork();
  const names = useNames();
  const [open, setOpen] = useState(false);
  const [wanted, setWanted] = useState(weights);
  const next = JSON.stringify(weights);
  useEffect(() => {
    const timer = setTimeout(() => setWanted(JSON.parse(next) as Record<string, number>), REST_MS);
    return () => clearTimeout(timer);
  }, [next]);
  const found = useQuery({
    queryKey: ['replayed', network, wanted],
    queryFn: () => post<Tried>(`/v1/networks/${network}/settings/try`, { weights: wanted }),
    placeholderData: keepPreviousData,
  });
  if (!found.data) {
    return (
      <div className="mt-4 min-h-[40px]">
        <Waiting error={found.error} what="What would change" />
      </div>
    );
  }
  const { replayed, unknown, moved } = found.data;
  return (
    <section aria-label="What would change" className="mt-4 min-h-[40px]">
      <p className="text-14" role="status">
        {replayed === 0 ? (
          'There is no decision yet that could be replayed.'
        ) : (
          <>
            <b>
              {moved.length} of {replayed}
            </b>{' '}
            {replayed === 1 ? 'decision' : 'newest decisions'} would go elsewhere.
          </>
        )}
        {unknown > 0 && <span className="text-ink-3"> {many(unknown, 'more does', 'more do')} not say all that these weights weigh.</span>}
      </p>
      <ul className="mt-2">
        {(open ? moved : moved.slice(0, FEW)).map((one) => (
          <Elsewhere key={`${one.requester}${one.job}`} moved={one} names={names} network={network} />
        ))}
      </ul>
      {moved.length > FEW && (
        <button type="button" className={`mt-2 text-13 ${LINK}`} onClick={() => setOpen(!open)}>
          {open ? 'Show fewer' : `Show all ${moved.length}`}
        </button>
      )}
    </section>
  );
}

function Elsewhere({ moved, names, network }: { moved: Moved; names: Names; network: string }) {
  const lead = TERMS.map((term) => ({ term, by: (moved.goes.terms[term] ?? 0) - (moved.stays.terms[term] ?? 0) })).reduce((a, b) => (b.by > a.by ? b : a));
  return (
    <li className="border-t border-line py-2.5 text-13 last:border-b">
      <p>
        <Link to="/n/$network/jobs/$job" params={{ network, job: moved.job }} className={LINK}>
          {moved.workload} from {names.device(moved.requester)}
        </Link>
        , <time dateTime={new Date(moved.created_ms).toISOString()}>{moment(moved.created_ms)}</time>: <b>{names.device(moved.goes.device)}</b> instead of{' '}
        {names.device(moved.stays.device)}
        {lead.by > 0.0005 && (
          <span className="text-ink-2">
            {' '}
            because of {TERM_WORDS[lead.term]} (+{lead.by.toFixed(3)})
          </span>
        )}
        .
      </p>
      <div className="mt-1.5 grid grid-cols-[minmax(0,auto)_minmax(0,1fr)_44px] items-center gap-x-3 gap-y-1">
        <Bar score={moved.goes} name={names.device(moved.goes.device)} chosen />
        <Bar score={moved.stays} name={names.device(moved.stays.device)} />
      </div>
    </li>
  );
}

const STEPS = ['opacity-100', 'opacity-80', 'opacity-65', 'opacity-50', 'opacity-40', 'opacity-30'];

/** The six terms end to end on a ruler from 0 to 1, as a job's page draws them. */
function Bar({ score, name, chosen }: { score: Score; name: string; chosen?: boolean }) {
  const points = TERMS.map((term) => score.terms[term] ?? 0);
  const segments = TERMS.map((term, place) => ({ term, x: points.slice(0, place).reduce((sum, one) => sum + one, 0), wide: Math.max(points[place]! - 0.003, 0) }));
  return (
    <>
      <span className="text-12 break-words text-ink-2">{name}</span>
      <svg viewBox="0 0 1 10" preserveAspectRatio="none" className="h-[12px] w-full" aria-hidden="true">
        {segments.map((one, place) => (
          <rect key={one.term} x={one.x} width={one.wide} height="10" className={`${chosen ? 'fill-live-fill' : 'fill-ink-3'} ${STEPS[place]}`} />
        ))}
      </svg>
      <span className={`text-right text-12 ${chosen ? 'font-600 text-live' : ''}`}>{score.total.toFixed(3)}</span>
    </>
  );
}
