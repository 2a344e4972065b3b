/** What other prices would mean: for a job as they come, and for all that was paid in the last month. Nothing is saved by it. */
import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { useEffect, useState } from 'react';
import { credits, many, units } from '../parts/words';
import { post } from './api';
import { useNetwork } from './data';
import { Waiting } from './Frame';

/** Numbers are typed digit by digit: what they come to rest at is asked for. */
const REST_MS = 250;

export type Change = { prices: { workload: string; price_micro: number }[]; fee_ppm?: number };
type Effect = {
  workload: string;
  units: number;
  before: number | null;
  after: number;
  jobs: number;
  charged: number;
  would: number;
  earned: number;
  would_earn: number;
};
type Tried = { effects: Effect[]; more: boolean };

/** How what is counted is called: pages as they are, text by the thousand bytes. */
export function perUnit({ workload, price_per: per }: { workload: string; price_per: number }): string {
  if (workload === 'ocr') return per === 1 ? 'a page' : many(per, 'page');
  if (workload === 'chat' || workload === 'embeddings') return per === 1000 ? 'a kB of text' : many(per, 'byte of text', 'bytes of text');
  return per === 1 ? 'a unit' : many(per, 'unit');
}

export function TariffPreview({ change }: { change: Change }) {
  const network = useNetwork();
  const [wanted, setWanted] = useState(change);
  const next = JSON.stringify(change);
  useEffect(() => {
    const timer = setTimeout(() => setWanted(JSON.parse(next) as Change), REST_MS);
    return () => clearTimeout(timer);
  }, [next]);
  const found = useQuery({
    queryKey: ['tariff tried', network, wanted],
    queryFn: () => post<Tried>(`/v1/networks/${network}/tariff/try`, wanted),
    placeholderData: keepPreviousData,
    retry: false,
  });
  if (found.error || !found.data) {
    return (
      <div className="mt-4 min-h-[40px]">
        <Waiting error={found.error} what="What would change" />
      </div>
    );
  }
  const { effects, more } = found.data;
  const sum = (pick: (one: Effect) => number) => effects.reduce((all, one) => all + pick(one), 0);
  const [jobs, charged, would] = [sum((one) => one.jobs), sum((one) => one.charged), sum((one) => one.would)];
  const named = new Set(wanted.prices.map((one) => one.workload));
  const shown = effects.filter((one) => one.jobs > 0 || named.has(one.workload));
  return (
    <section aria-label="What would change" className="mt-4 min-h-[40px] max-w-[620px] text-13">
      <p className="text-14" role="status">
        {jobs === 0 ? (
          'No job was paid in the last 30 days, so this is a job as they come.'
        ) : (
          <>
            {more ? 'The newest' : 'The'} {many(jobs, 'job')} paid in the last 30 days cost {credits(charged)} credits and would have cost <b>{credits(would)}</b>
            {ratio(charged, would)}.
          </>
        )}
      </p>
      {jobs > 0 && (
        <p className="mt-1 text-ink-2">
          Those who did them earned {credits(sum((one) => one.earned))} and would have earned {credits(sum((one) => one.would_earn))}.
        </p>
      )}
      <ul className="mt-2">
        {shown.map((one) => (
          <li key={one.workload} className="border-t border-line py-1.5 last:border-b">
            {one.workload}: a job of {counted(one)} that costs {one.before === null ? 'nothing known' : credits(one.before)} would cost <b>{credits(one.after)}</b>
            {one.before !== null && ratio(one.before, one.after)}.
          </li>
        ))}
      </ul>
    </section>
  );
}

function counted(one: Effect): string {
  return one.workload === 'ocr' || one.workload === 'chat' || one.workload === 'embeddings' ? units(one.workload, one.units) : many(one.units, 'unit');
}

function ratio(before: number, after: number): string {
  if (before <= 0 || before === after) return '';
  const change = Math.round(((after - before) / before) * 100);
  return ` (${change < 0 ? '−' : '+'}${Math.abs(change).toLocaleString('en-US')}\u00a0%)`;
}
