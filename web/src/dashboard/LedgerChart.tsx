/** What each person or device earned and spent over time: a line above zero and one below it, all on one scale. */
import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { type PointerEvent, useState } from 'react';
import { LINK, Segment } from '../parts/controls';
import { credits, many, moment } from '../parts/words';
import { type Chart, line, reach, stepAt, type Sums, sum } from '../pictures/chart';
import { get } from './api';
import { type Names, useNetwork } from './data';
import { Waiting } from './Frame';

const FEW = 8;

type Who = 'member' | 'device';
type Props = { by: Who; onBy: (by: Who) => void; wanted: string; expected: string[]; names: Names };

/** `expected`: whose rows stand there before anything was read, so that nothing jumps. */
export function LedgerChart({ by, onBy, wanted, expected, names }: Props) {
  const network = useNetwork();
  const [open, setOpen] = useState(false);
  const [table, setTable] = useState(false);
  const [cursor, setCursor] = useState<number | null>(null);
  const found = useQuery({
    queryKey: ['chart', network, by, wanted],
    queryFn: () => get<Chart>(`/v1/networks/${network}/ledger/chart?by=${by}&${wanted}`),
    placeholderData: keepPreviousData,
    staleTime: 60_000,
    refetchInterval: 60_000,
  });
  const chart = found.data;
  const known = new Map(chart?.series.map((one) => [one.who, one]));
  const order = [...new Set([...expected, ...known.keys()])];
  const shown = open ? order : order.slice(0, FEW);
  const full = reach(chart?.series ?? []);
  const nameOf = by === 'device' ? names.device : names.person;
  const until = chart && chart.since_ms + chart.steps * chart.step_ms;
  return (
    <section className="border-b border-line py-5">
      <div className="mb-3 flex flex-wrap items-center gap-x-4 gap-y-2">
        <h2 className="text-15 font-600">Earned and spent</h2>
        <Segment
          name="Charts by"
          value={by}
          onChange={onBy}
          options={[
            { value: 'member', label: 'By person' },
            { value: 'device', label: 'By device' },
          ]}
        />
        <span className="text-12 text-ink-3">
          {chart && until && (cursor === null ? span(chart.since_ms, until) : between(chart, cursor))}
        </span>
        <button type="button" className={`text-13 ${LINK}`} aria-expanded={table} onClick={() => setTable(!table)}>
          {table ? 'Show the lines' : 'Show as table'}
        </button>
      </div>
      {!!found.error && <Waiting error={found.error} what="The charts" />}
      {table && chart ? (
        <Table chart={chart} nameOf={nameOf} />
      ) : (
        <ul>
          {shown.map((who) => (
            <Row key={who} who={who} name={nameOf(who)} by={by} chart={chart} sums={known.get(who)} full={full} cursor={cursor} onCursor={setCursor} />
          ))}
        </ul>
      )}
      {!table && order.length > FEW && (
        <button type="button" className={`mt-2 text-13 ${LINK}`} onClick={() => setOpen(!open)}>
          {open ? 'Show fewer' : `Show all ${order.length}`}
        </button>
      )}
      {!!chart?.more && <p className="mt-2 text-12 text-ink-3">And {many(chart.more, 'other')}, who moved less.</p>}
    </section>
  );
}

/** The last step goes on to its whole hour, and nothing was posted later than now. */
function span(from: number, until: number): string {
  return `${moment(from)} to ${until > Date.now() ? 'now' : moment(until)}`;
}

function between(chart: Chart, step: number): string {
  const from = chart.since_ms + step * chart.step_ms;
  return span(from, from + chart.step_ms);
}

type RowProps = {
  who: string;
  name: string;
  by: Who;
  chart: Chart | undefined;
  sums: Sums | undefined;
  full: number;
  cursor: number | null;
  onCursor: (step: number | null) => void;
};

function Row({ who, name, by, chart, sums, full, cursor, onCursor }: RowProps) {
  const network = useNetwork();
  const steps = chart?.steps ?? 1;
  const value = (values: number[] | undefined) => (values ? (cursor === null ? sum(values) : (values[cursor] ?? 0)) : 0);
  function moved(event: PointerEvent<SVGSVGElement>) {
    const box = event.currentTarget.getBoundingClientRect();
    onCursor(stepAt((event.clientX - box.left) / box.width, steps));
  }
  return (
    <li className="grid grid-cols-[minmax(0,1fr)_auto] items-center gap-x-4 border-t border-line py-1 wide:grid-cols-[150px_minmax(0,1fr)_200px]">
      <span className="min-w-0 text-13 wrap-anywhere">
        {by === 'device' ? (
          <Link to="/n/$network/devices/$device" params={{ network, device: who }} className={LINK}>
            {name}
          </Link>
        ) : (
          name
        )}
      </span>
      <span className="text-right text-12 whitespace-nowrap text-ink-2 wide:order-3">
        earned <b className="font-600 text-ink">{credits(value(sums?.earned))}</b> · spent <b className="font-600 text-ink">{credits(value(sums?.spent))}</b>
      </span>
      <svg
        viewBox={`0 -1.08 ${steps} 2.16`}
        preserveAspectRatio="none"
        className="h-[44px] w-full max-wide:col-span-2 wide:order-2"
        aria-hidden="true"
        onPointerMove={moved}
        onPointerLeave={() => onCursor(null)}
      >
        {sums && (
          <>
            <path d={line(sums.earned, steps, full, 1)} vectorEffect="non-scaling-stroke" strokeWidth="1.4" className="fill-done stroke-ink-2" />
            <path d={line(sums.spent, steps, full, -1)} vectorEffect="non-scaling-stroke" strokeWidth="1.4" className="fill-none stroke-ink-3" />
          </>
        )}
        <path d={`M0 0H${steps}`} vectorEffect="non-scaling-stroke" className="stroke-edge" />
        {cursor !== null && <path d={`M${cursor + 0.5} -1.08V1.08`} vectorEffect="non-scaling-stroke" strokeDasharray="2 2" className="stroke-ink-2" />}
      </svg>
    </li>
  );
}

function Table({ chart, nameOf }: { chart: Chart; nameOf: (id: string) => string }) {
  const rows = Array.from({ length: chart.steps }, (_, step) => step).flatMap((step) =>
    chart.series.filter((one) => one.earned[step] || one.spent[step]).map((one) => ({ step, one })),
  );
  if (rows.length === 0) return <p className="text-13 text-ink-2">Nothing was earned or spent in this time.</p>;
  return (
    <table className="w-full max-w-[760px] text-13">
      <thead>
        <tr className="text-12 text-ink-3">
          <th className="pb-1 text-left font-400">from</th>
          <th className="pb-1 text-left font-400">who</th>
          <th className="pb-1 text-right font-400">earned</th>
          <th className="pb-1 text-right font-400">spent</th>
        </tr>
      </thead>
      <tbody>
        {rows.map(({ step, one }) => (
          <tr key={`${step}${one.who}`} className="border-t border-line">
            <td className="py-1 pr-3 text-ink-2">{moment(chart.since_ms + step * chart.step_ms)}</td>
            <th scope="row" className="py-1 pr-3 text-left font-400 break-words">
              {nameOf(one.who)}
            </th>
            <td className="py-1 text-right">{credits(one.earned[step] ?? 0)}</td>
            <td className="py-1 pl-3 text-right">{credits(one.spent[step] ?? 0)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
