/** What admins decided, newest first: a log that members can read, and whose chain says whether it is whole. */
import { useInfiniteQuery } from '@tanstack/react-query';
import { Button, Failure } from '../parts/controls';
import { credits, grouped, moment } from '../parts/words';
import { get } from './api';
import { type Names, useNames, useNetwork } from './data';
import { Sentence, Waiting } from './Frame';

type Decision = { number: number; at_ms: number; by: string; kind: string; subject: string; facts: Record<string, unknown>; hash: string };
type Page = { decisions: Decision[]; before: number | null; broken: number | null };

const PAGE = 50;

export function AuditPage() {
  const network = useNetwork();
  const names = useNames();
  const found = useInfiniteQuery({
    queryKey: ['settings', network, 'audit'],
    initialPageParam: 0,
    queryFn: ({ pageParam }) => get<Page>(`/v1/networks/${network}/decisions?limit=${PAGE}${pageParam ? `&before=${pageParam}` : ''}`),
    getNextPageParam: (last) => last.before ?? undefined,
  });
  const decisions = found.data?.pages.flatMap((page) => page.decisions) ?? [];
  const broken = found.data?.pages[0]?.broken ?? null;
  if (!found.data) {
    return (
      <>
        <Sentence>
          <span className="text-ink-3">What admins decided</span>
        </Sentence>
        <Waiting error={found.error} what="The log" />
      </>
    );
  }
  const newest = decisions[0]?.number ?? 0;
  return (
    <>
      <Sentence below="Members can read it. Each line’s hash covers the one before, so that none can be changed or taken out unseen.">
        {newest === 0 ? 'Admins have decided nothing yet.' : newest === 1 ? 'One decision so far.' : `${grouped(newest)} decisions so far.`}
      </Sentence>
      {broken !== null && <Failure title={`Line ${broken} is not what its hash says`} message="Somebody changed the log. Ask the operator for a backup, and compare." />}
      <ol className="max-w-[860px]">
        {decisions.map((one) => (
          <li key={one.number} className="flex gap-5 border-b border-line py-2.5 text-13">
            <span className="w-[92px] shrink-0 text-12 text-ink-3">
              <time dateTime={new Date(one.at_ms).toISOString()}>{moment(one.at_ms)}</time>
              <span className="block">#{grouped(one.number)}</span>
            </span>
            <span className="min-w-0 break-words">
              <b>{names.person(one.by)}</b> {said(one, names)}
              <code className="block text-12 text-ink-3">{one.kind}</code>
            </span>
          </li>
        ))}
      </ol>
      {found.hasNextPage && (
        <Button className="mt-5" busy={found.isFetchingNextPage && 'Fetching…'} onClick={() => void found.fetchNextPage()}>
          Older decisions
        </Button>
      )}
    </>
  );
}

/** A decision as a sentence; one of a kind that this page does not know shows its facts. */
export function said(one: Decision, names: Names): string {
  const { facts } = one;
  const reason = typeof facts.reason === 'string' ? `: “${facts.reason}”` : '';
  const amount = (value: unknown) => (typeof value === 'number' ? credits(value) : 'the network’s');
  switch (one.kind) {
    case 'credit.give':
      return `gave ${names.person(one.subject)} ${amount(facts.amount)} credits${reason}.`;
    case 'credit.terms':
      return `set for ${names.person(one.subject)}: ${['floor', 'day_limit'].filter((name) => name in facts).map((name) => `${name === 'floor' ? 'floor' : 'daily limit'} ${amount(facts[name])}`).join(', ') || 'nothing'}.`;
    case 'credit.device_limit':
      return `set what ${names.device(one.subject)} may spend in a day: ${facts.day_limit === null ? 'no limit' : amount(facts.day_limit)}.`;
    case 'marks.clear':
      return `cleared ${Number(facts.marks)} marks of ${names.device(one.subject)}.`;
    case 'credit.settle_owed':
      return 'paid what an attempt was owed.';
    case 'device.rename':
      return `gave ${typeof facts.owner === 'string' ? names.person(facts.owner) : 'somebody'}’s device another name; it is ${names.device(one.subject)} now.`;
    case 'member.trust':
      return facts.to ? `vouched for ${names.person(one.subject)}: their work is not checked.` : `vouches for ${names.person(one.subject)} no more.`;
    case 'member.role':
      return `made ${names.person(one.subject)} ${facts.to === 'admin' ? 'an admin' : `a ${String(facts.to)}`}.`;
    case 'member.approve':
      return `let ${names.person(one.subject)} in as ${facts.role === 'admin' ? 'an admin' : `a ${String(facts.role)}`}.`;
    case 'member.refuse':
      return 'did not let somebody in who had asked.';
    case 'member.remove':
      return one.by === one.subject ? 'left.' : `let ${names.person(one.subject)} go.`;
    case 'account.delete':
      return `asked for their account to be deleted${typeof facts.due_ms === 'number' ? ` on ${moment(facts.due_ms)}` : ''}.`;
    case 'account.keep':
      return 'keeps their account.';
    case 'network.retention':
      return `keeps job records ${Number(facts.jobs_days)} days, and decisions ${facts.decisions_days ? `${Number(facts.decisions_days)} days` : 'for good'}.`;
    case 'network.credit_line':
      return `set the credit line to ${String(facts.to)}.`;
    case 'network.approve_devices':
      return facts.to ? 'made every device wait for an admin.' : 'let devices in without an admin.';
    case 'network.domain':
      return facts.role ? `lets in who has an address in ${String(facts.domain)}, as a ${String(facts.role)}.` : `lets nobody in by ${String(facts.domain)} any more.`;
    case 'network.approve_people':
      return facts.to ? 'made everybody who comes wait for an admin.' : 'let people in without an admin.';
    case 'tariff.publish':
      return `published version ${one.subject} of the tariff${facts.note ? `: “${String(facts.note)}”` : ''}.`;
    case 'policy.save':
      return `saved version ${one.subject} of the policy${facts.note ? `: “${String(facts.note)}”` : ''}.`;
    default: {
      const more = Object.entries(facts).map(([name, value]) => `${name} ${typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean' ? String(value) : JSON.stringify(value)}`);
      return [one.subject, ...more].filter(Boolean).join(', ');
    }
  }
}
