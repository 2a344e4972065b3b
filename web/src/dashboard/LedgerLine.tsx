/** A line of the ledger: who did what for whom, how it was counted, and a beam that is as long on both sides. */
import { Link } from '@tanstack/react-router';
import { type ReactNode, useState } from 'react';
import { LINK } from '../parts/controls';
import { useNarrow } from '../parts/narrow';
import { credits, deed, grouped, moment, signed, units } from '../parts/words';
import { beam, type Entry } from '../pictures/plumb';
import type { LedgerLine } from './api';
import { type Names, useNetwork } from './data';
import { KINDS } from './LedgerFilter';
import { GRID, Hatch, Upright } from './plumbParts';

export type Posting = { id: string; time_ms: number; kind: string; first: LedgerLine; entries: Entry[] };

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

export function total(entries: Entry[]): number {
  const plus = entries.filter((one) => one.amount > 0).reduce((sum, one) => sum + one.amount, 0);
  return plus || entries.reduce((sum, one) => sum - Math.min(one.amount, 0), 0);
}

/** The first sealed line below lines that are not: where the seal is drawn. */
export function sealedHere(postings: Posting[], at: number): boolean {
  const sealed = (one: Posting | undefined) => typeof one?.first.sealed_number === 'number';
  return sealed(postings[at]) && !sealed(postings[at - 1]);
}

export function Line({ posting, full, me, names, sealed }: { posting: Posting; full: number; me: string; names: Names; sealed: boolean }) {
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
              <span className="min-w-0 px-2 text-right wrap-anywhere">{found.left.map((side) => `${whoOf(side)} ${signed(side.amount)}${side.account === 'aside' ? ', set aside' : ''}`).join(', ')}</span>
              <Beam sides={found.left} cut={found.cut} me={me} left />
            </span>
            <span className="flex items-center">
              <Beam sides={found.right} cut={found.cut} me={me} />
              <span className="min-w-0 px-2 wrap-anywhere">
                {found.right.map((side, at) => (
                  <span key={`${side.who}${side.account}`} className={at > 0 ? 'block text-ink-3' : ''}>
                    {whoOf(side)} {signed(side.amount)}
                    {side.account === 'pending' && ', pending'}
                    {side.account === 'aside' && ', set aside'}
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
  if (kind === 'line') return <>The credit line changed: what was there is set aside, and counts again when it changes back.</>;
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
