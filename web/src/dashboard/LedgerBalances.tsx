/** Balances: what people did for others, less what others did for them, each a bar on the upright. */
import { credits, signed } from '../parts/words';
import { useNarrow } from '../parts/narrow';
import { type Bar, bars } from '../pictures/plumb';
import type { Account } from './api';
import type { Names } from './data';
import { GRID, Hatch, Upright } from './plumbParts';

export function Balances({ accounts, me, names }: { accounts: Account[]; me: string; names: Names }) {
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
              <span className={`min-w-0 px-2 wrap-anywhere ${mine ? 'font-600' : ''}`}>
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
