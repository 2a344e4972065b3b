/** The ledger: everything hangs from one upright, zero; what is paid left of it is as long as what is received right. */
import { keepPreviousData, useInfiniteQuery, useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { type ReactNode, useMemo, useState } from 'react';
import { Button, Failure, LINK } from '../parts/controls';
import { clock, credits, deed, grouped, many, moment, signed, units } from '../parts/words';
import { type Bar, bars, beam, type Entry, scale } from '../pictures/plumb';
import { type Account, ApiError, get, type LedgerLine } from './api';
import { type Names, useMe, useNames, useNetwork } from './data';
import { useNarrow } from '../parts/narrow';
import { Sentence, Waiting } from './Frame';
import { asked, EVERYTHING, KINDS, LedgerFilter } from './LedgerFilter';
import { ledgerSentence } from './sentences';

const PAGE = 50;

type Posting = { id: string; time_ms: number; kind: string; first: LedgerLine; entries: Entry[] };
type Proof = { ok: boolean; total: number; postings: number; entries: number; sealed: number; wrong: null | Record<string, unknown> };

export function LedgerPage() {
  const network = useNetwork();
  const me = useMe().data?.member ?? '';
  const names = useNames();
  const [narrowed, setNarrowed] = useState(EVERYTHING);
  const wanted = asked(narrowed, me);
  const accounts = useQuery({
    queryKey: ['balances', network],
    queryFn: async () => (await get<{ accounts: Account[] }>(`/v1/networks/${network}/balances`)).accounts,
  });
  const lines = useInfiniteQuery({
    queryKey: ['ledger', network, wanted],
    initialPageParam: '',
    queryFn: ({ pageParam }) =>
      get<{ lines: LedgerLine[]; cursor: string | null }>(
        `/v1/networks/${network}/ledger?limit=${PAGE}&${wanted}${pageParam ? `&cursor=${encodeURIComponent(pageParam)}` : ''}`,
      ),
    getNextPageParam: (last) => last.cursor ?? undefined,
    placeholderData: keepPreviousData,
  });
  const proof = useQuery({ queryKey: ['verify', network], queryFn: () => get<Proof>(`/v1/networks/${network}/ledger/verify`), staleTime: Infinity });
  const shown = useMemo(() => grouping(lines.data?.pages.flatMap((page) => page.lines) ?? []), [lines.data]);
  if (!accounts.data) {
    return (
      <>
        <Sentence>
          <span className="text-ink-3">Ledger</span>
        </Sentence>
        <Waiting error={accounts.error} what="The ledger" />
      </>
    );
  }
  const full = scale(shown.map((one) => total(one.entries)));
  return (
    <>
      <Sentence below={<Checked proof={proof.data} error={proof.error} again={() => void proof.refetch()} busy={proof.isFetching} />}>
        {ledgerSentence(accounts.data, me)}
      </Sentence>
      <div className="mb-2 flex flex-wrap items-center gap-3">
        <LedgerFilter value={narrowed} onChange={setNarrowed} />
        {shown.length > 0 && <Export postings={shown} names={names} />}
      </div>
      <Balances accounts={accounts.data} me={me} names={names} />
      <ol className="relative">
        {shown.map((one, at) => (
          <Line key={one.id} posting={one} full={full} me={me} names={names} sealed={sealedHere(shown, at)} />
        ))}
      </ol>
      <Bob />
      {lines.error && <Waiting error={lines.error} what="The lines" />}
      {lines.data && shown.length === 0 && (
        <p className="mt-5 text-13 text-ink-2">
          {wanted ? 'No lines like that. ' : 'No lines yet. The first job that somebody does for somebody else writes one.'}
          {wanted && (
            <button type="button" className={LINK} onClick={() => setNarrowed(EVERYTHING)}>
              Show all
            </button>
          )}
        </p>
      )}
      {lines.hasNextPage && (
        <Button className="mt-5" busy={lines.isFetchingNextPage && 'Fetching…'} onClick={() => void lines.fetchNextPage()}>
          Older lines
        </Button>
      )}
    </>
  );
}

/** Entries of one posting come one after the other; they are one line here. */
export function grouping(lines: LedgerLine[]): Posting[] {
  const found = new Map<string, Posting>();
  for (const line of lines) {
    const posting = found.get(line.posting) ?? { id: line.posting, time_ms: line.time_ms, kind: line.kind, first: line, entries: [] };
    posting.entries.push({ account: line.account, member: line.member, amount: line.amount });
    found.set(line.posting, posting);
  }
  return [...found.values()];
}

function total(entries: Entry[]): number {
  const plus = entries.filter((one) => one.amount > 0).reduce((sum, one) => sum + one.amount, 0);
  return plus || entries.reduce((sum, one) => sum - Math.min(one.amount, 0), 0);
}

/** The first sealed line below lines that are not: where the seal is drawn. */
function sealedHere(postings: Posting[], at: number): boolean {
  const sealed = (one: Posting | undefined) => typeof one?.first.sealed_number === 'number';
  return sealed(postings[at]) && !sealed(postings[at - 1]);
}

function Checked({ proof, error, again, busy }: { proof: Proof | undefined; error: unknown; again: () => void; busy: boolean }) {
  if (error instanceof ApiError) return <Failure message={error.message} code={error.refused.code} />;
  if (!proof) return <>Adding everything up…</>;
  return (
    <>
      {proof.ok ? (
        `Checked: ${many(proof.postings, 'posting')}, ${many(proof.entries, 'entry', 'entries')}, sum 0.00.`
      ) : (
        <b className="text-fail">It does not add up. The first row that is wrong: {JSON.stringify(proof.wrong)}</b>
      )}{' '}
      <button type="button" className={LINK} onClick={again}>
        {busy ? 'Checking…' : 'Check again'}
      </button>
    </>
  );
}

/** Where the upright stands: at the same place for balances and lines. */
const GRID = 'wider:grid wider:grid-cols-[minmax(0,1fr)_minmax(0,620px)] wider:gap-x-6';

function Balances({ accounts, me, names }: { accounts: Account[]; me: string; names: Names }) {
  const narrow = useNarrow();
  const found = bars(accounts);
  const reach = narrow ? 96 : 190;
  const full = Math.max(1, ...found.map((bar) => Math.abs(bar.amount) + Math.max(bar.pending, 0)));
  const owed = -found.reduce((sum, bar) => sum + Math.min(bar.amount, 0), 0);
  const earned = found.reduce((sum, bar) => sum + Math.max(bar.amount, 0) + bar.pending, 0);
  const nameOf = (bar: Bar) => (accounts.some((one) => one.member === bar.member) ? names.person(bar.member) : bar.member!);
  return (
    <section className={`border-b border-line pb-3 ${GRID}`}>
      <div className="pt-7">
        <h2 className="text-15 font-600">Balances</h2>
        <p className="mt-1 max-w-[20em] text-13 text-ink-2">What people did for others, less what others did for them.</p>
        <p className="mt-3 text-13 font-600">
          {credits(owed)} owed, {credits(earned)} earned or pending, sum {credits(earned - owed)}
        </p>
      </div>
      <div className="relative mt-4">
        <div className="grid grid-cols-2 pb-2 text-12 text-ink-3">
          <span className="pr-3 text-right">owes the others</span>
          <span className="pl-3">is owed</span>
        </div>
        <Upright />
        <ul className="relative">
          {found.map((bar) => {
            const left = bar.amount < 0;
            const wide = (Math.abs(bar.amount) / full) * reach;
            const pending = (Math.max(bar.pending, 0) / full) * reach;
            const mine = bar.member === me;
            const who = (
              <span className={`px-2 ${mine ? 'font-600' : ''}`}>
                {nameOf(bar)}
                {mine && ' (you)'}
              </span>
            );
            const much = (
              <span className="px-2 font-600">
                {signed(bar.amount)}
                {bar.pending > 0 && <span className="font-400 text-ink-3"> and {credits(bar.pending)} pending</span>}
              </span>
            );
            const stick = (
              <svg width={wide + pending + 1} height="14" className="shrink-0" aria-hidden="true">
                <Hatch />
                {pending > 0 && <rect x={left ? 0 : wide} y="0.5" width={pending} height="13" fill="url(#pending)" className="stroke-edge" />}
                <rect x={left ? pending : 0} width={Math.max(wide, 1)} height="14" rx="1" className={mine ? 'fill-ink' : 'fill-edge'} />
              </svg>
            );
            return (
              <li key={bar.member} className="grid grid-cols-2 py-[4px] text-13">
                <span className="flex items-center justify-end">{left ? <>{much}{stick}</> : who}</span>
                <span className="flex items-center">{left ? who : <>{stick}{much}</>}</span>
              </li>
            );
          })}
        </ul>
      </div>
    </section>
  );
}

function Hatch() {
  return (
    <pattern id="pending" width="5" height="5" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">
      <path d="M0 0v5" className="stroke-edge" strokeWidth="2" />
    </pattern>
  );
}

/** The upright itself, through everything on the page. */
function Upright() {
  return <span aria-hidden="true" className="pointer-events-none absolute inset-y-0 left-1/2 w-px wider:-inset-y-3 -translate-x-1/2 bg-ink" />;
}

function Bob() {
  return (
    <div aria-hidden="true" className={GRID}>
      <span className="max-wider:hidden" />
      <svg width="100%" height="34" className="overflow-visible">
        <svg x="50%" className="overflow-visible">
          <path d="M0 0v14" className="stroke-ink" />
          <path d="M-4 14h8v5l-4 10-4-10z" className="fill-ink" />
        </svg>
      </svg>
    </div>
  );
}

function Line({ posting, full, me, names, sealed }: { posting: Posting; full: number; me: string; names: Names; sealed: boolean }) {
  const narrow = useNarrow();
  const network = useNetwork();
  const [open, setOpen] = useState(false);
  const reach = narrow ? 110 : 170;
  const { first } = posting;
  const found = beam(posting.entries, full, reach);
  const whoOf = (side: { who: string | null; account: string }) => (side.who ? names.person(side.who) : side.account);
  return (
    <li>
      {sealed && (
        <div className="relative border-b border-live">
          <p className="py-1 text-12 text-live">Sealed up to here: lines above wait for the next seal.</p>
        </div>
      )}
      <div className={`border-b border-line py-3 ${GRID}`}>
        <div className="flex gap-5">
          <span className="w-[92px] shrink-0 text-12 text-ink-3">
            <time dateTime={new Date(posting.time_ms).toISOString()}>{moment(posting.time_ms)}</time>
            {typeof first.sealed_number === 'number' && <span className="block">#{grouped(first.sealed_number)}</span>}
          </span>
          <div className="min-w-0 text-13">
            <p>{said(posting, me, names)}</p>
            <p className="text-ink-2">
              {counted(first)}{' '}
              <button type="button" aria-expanded={open} className={LINK} onClick={() => setOpen(!open)}>
                {open ? 'less' : 'entries'}
              </button>
              {first.job && (
                <>
                  {' · '}
                  <Link to="/n/$network/jobs/$job" params={{ network, job: first.job }} className={LINK}>
                    job
                  </Link>
                </>
              )}
            </p>
            {open && (
              <ul className="mt-2 text-12 text-ink-2">
                {posting.entries.map((one) => (
                  <li key={`${one.account}${one.member}`}>
                    {one.account} {one.member && `of ${names.person(one.member)}`}: {signed(one.amount)}
                  </li>
                ))}
                <li>
                  posting <code className="select-all">{posting.id}</code>
                </li>
              </ul>
            )}
          </div>
        </div>
        <div className="relative max-wider:mt-2">
          <Upright />
          <div className="relative grid grid-cols-2 items-center text-12">
            <span className="flex items-center justify-end">
              <span className="px-2 text-right">{found.left.map((side) => `${whoOf(side)} ${signed(side.amount)}`).join(', ')}</span>
              <Beam sides={found.left} cut={found.cut} me={me} left />
            </span>
            <span className="flex items-center">
              <Beam sides={found.right} cut={found.cut} me={me} />
              <span className="px-2">
                {found.right.map((side, at) => (
                  <span key={`${side.who}${side.account}`} className={at > 0 ? 'block text-ink-3' : ''}>
                    {whoOf(side)} {signed(side.amount)}
                    {side.account === 'pending' && ', pending'}
                  </span>
                ))}
              </span>
            </span>
          </div>
        </div>
      </div>
    </li>
  );
}

function Beam({ sides, cut, me, left }: { sides: { who: string | null; account: string; x1: number; x2: number }[]; cut: boolean; me: string; left?: boolean }) {
  const end = sides.at(-1)?.x2 ?? 0;
  if (!end) return null;
  return (
    <svg width={end} height="12" className="shrink-0" aria-hidden="true">
      <Hatch />
      {sides.map((side) => {
        const x = left ? end - side.x2 : side.x1;
        const look = side.account === 'pending' ? 'stroke-edge' : side.who === me ? 'fill-ink' : side.who ? 'fill-edge' : 'fill-ink-2';
        const fill = side.account === 'pending' ? 'url(#pending)' : undefined;
        return <rect key={`${side.who}${side.account}`} x={x} y="0.5" width={Math.max(side.x2 - side.x1, 1)} height="11" rx="1" fill={fill} className={look} />;
      })}
      {cut && <path d={`M${left ? 14 : end - 18} 12l4-12M${left ? 18 : end - 14} 12l4-12`} className="stroke-ground" strokeWidth="2" />}
    </svg>
  );
}

function said(posting: Posting, me: string, names: Names): ReactNode {
  const { first, kind } = posting;
  const payer = posting.entries.find((one) => one.amount < 0)?.member ?? null;
  const whom = payer === me ? 'you' : payer ? names.person(payer) : 'somebody';
  if ((kind === 'settle' || kind === 'second') && first.worker) {
    const verb = first.units ? deed(guess(first), first.units) : 'worked';
    return (
      <>
        <b>{names.device(first.worker)}</b> {verb} for {whom}.
      </>
    );
  }
  if (kind === 'reverse') return <>A payment was taken back{first.reason ? `: “${first.reason}”` : ''}. The old line stays; this one cancels it.</>;
  if (kind === 'mature') return <>What was pending may no longer be denied.</>;
  if (kind === 'welcome') return <>A welcome to {names.person(posting.entries.find((one) => one.amount > 0)?.member ?? null)}.</>;
  if (kind === 'admin') return <>{first.approver ? names.person(first.approver) : 'An admin'} gave credits{first.reason ? `: “${first.reason}”` : ''}.</>;
  return <>{KINDS[kind] ?? kind}</>;
}

/** Lines say units and price, not the kind of work: it is told by how it is counted. */
function guess(line: LedgerLine): string {
  return line.price_per === 1000 ? 'embeddings' : line.price_per === 1 ? 'ocr' : 'work';
}

function counted(line: LedgerLine): string {
  if (line.units === null || line.price_micro === null || line.price_per === null) return '';
  const per = line.price_per === 1000 ? 'kB' : line.price_per === 1 ? 'page' : `${line.price_per}`;
  return `${units(guess(line), line.units)} × ${credits(line.price_micro)} per ${per} (tariff v${line.tariff_version}).`;
}

/** What the filter shows, as a file: CSV or a JSON object per line. */
function Export({ postings, names }: { postings: Posting[]; names: Names }) {
  function save(kind: 'csv' | 'jsonl') {
    const rows = postings.flatMap((one) =>
      one.entries.map((entry) => ({
        posting: one.id,
        time: new Date(one.time_ms).toISOString(),
        kind: one.kind,
        account: entry.account,
        member: entry.member ? names.person(entry.member) : '',
        micro_credits: entry.amount,
        job: one.first.job ?? '',
      })),
    );
    const head = Object.keys(rows[0] ?? {});
    const text =
      kind === 'jsonl'
        ? rows.map((row) => JSON.stringify(row)).join('\n')
        : [head, ...rows.map((row) => Object.values(row))].map((cells) => cells.map(cell).join(',')).join('\r\n');
    const url = URL.createObjectURL(new Blob([`${text}\n`], { type: kind === 'csv' ? 'text/csv' : 'application/x-ndjson' }));
    const link = Object.assign(document.createElement('a'), { href: url, download: `ledger-${clock(Date.now()).replaceAll(':', '')}.${kind}` });
    link.click();
    URL.revokeObjectURL(url);
  }
  return (
    <span className="ml-auto flex gap-2">
      <Button onClick={() => save('csv')}>Export CSV</Button>
      <Button className="max-wide:hidden" onClick={() => save('jsonl')}>
        JSON Lines
      </Button>
    </span>
  );
}

/** A cell that no spreadsheet takes for a formula. */
export function cell(value: string | number): string {
  const text = String(value);
  const harmless = typeof value === 'string' && /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(harmless) ? `"${harmless.replaceAll('"', '""')}"` : harmless;
}
