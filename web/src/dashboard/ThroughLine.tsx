/** The through-line: candidates through the gates to a ruler, and what the runner-up lacked. */
import { useLayoutEffect, useRef, useState } from 'react';
import { type Candidate, type Row, TERM_WORDS, through } from '../pictures/through';
import { type Names } from './data';
import { useNarrow } from '../parts/narrow';

export function Line({ candidates, names, ghost }: { candidates: Candidate[]; names: Names; ghost: { id: string; by: number } | null }) {
  const narrow = useNarrow();
  const frame = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(0);
  useLayoutEffect(() => {
    const watch = new ResizeObserver(([entry]) => setWidth(Math.floor(entry!.contentRect.width)));
    watch.observe(frame.current!);
    return () => watch.disconnect();
  }, []);
  const wide = Math.max(width, 300);
  const box = narrow
    ? { width: wide, names: wide - 160, gates: 96, totals: 0, row: 58, top: 6 }
    : { width: wide, names: 130, gates: Math.min(336, wide * 0.32), totals: 70, row: 38, top: 66 };
  const marks = through(candidates, narrow ? { ...box, totals: 0 } : box);
  const ruler = narrow ? { x1: 0, x2: wide - 62 } : marks.ruler;
  const scale = (x: number) => (narrow && marks.ruler ? ((x - marks.ruler.x1) / (marks.ruler.x2 - marks.ruler.x1)) * (wide - 62) : x);
  return (
    <div ref={frame} className="min-w-0">
      <div className="sr-only">
      <table>
        <caption>Gates and scores of every device</caption>
        <tbody>
          {marks.rows.map((row) => (
            <tr key={row.id}>
              <th scope="row">{names.device(row.id)}</th>
              <td>{row.total ? `score ${row.total}${row.chosen ? ', chosen' : ''}` : row.shut?.reason}</td>
            </tr>
          ))}
        </tbody>
      </table>
      </div>
      <svg width={width || undefined} height={marks.height + 24} className="block overflow-visible" aria-hidden="true">
        {!narrow && (
          <>
            <text x={box.names + box.gates / 2} y="14" textAnchor="middle" className="fill-ink-3 text-12">
              Gates: may it?
            </text>
            {marks.gates.map((gate) => (
              <text key={gate.gate} x={gate.x} y="46" textAnchor="middle" className="fill-ink-2 text-12">
                {gate.gate}
              </text>
            ))}
            {marks.ruler && <Ruler marks={marks} />}
          </>
        )}
        {marks.rows.map((row) => (
          <LineRow key={row.id} row={row} marks={marks} names={names} narrow={narrow} scale={scale} width={wide} names0={box.names} />
        ))}
        {ghost && <Ghost row={marks.rows.find((row) => row.id === ghost.id)} by={ghost.by} ruler={ruler} scale={scale} narrow={narrow} />}
        {marks.beat && (
          <g>
            <path
              d={`M${scale(marks.beat.x)} ${narrow ? 26 : 60}V${(marks.rows.findLast((row) => row.segments.length > 0)?.y ?? 0) + (narrow ? 28 : 20)}`}
              className="stroke-live"
              strokeWidth="1.7"
              strokeDasharray="1.7 3.4"
            />
            {!narrow && (
              <text
                x={Math.min(scale(marks.beat.x), wide - 40)}
                y={(marks.rows.findLast((row) => row.segments.length > 0)?.y ?? 0) + 36}
                textAnchor="middle"
                className="fill-live stroke-ground text-12 font-600 [paint-order:stroke] [stroke-width:4px]"
              >
                {marks.beat.label}
              </text>
            )}
          </g>
        )}
      </svg>
    </div>
  );
}

function Ruler({ marks }: { marks: ReturnType<typeof through> }) {
  const ruler = marks.ruler!;
  return (
    <g>
      <text x={ruler.x1} y="14" className="fill-ink-3 text-12">
        Score: how good is it? Six terms, laid end to end
      </text>
      <path d={`M${ruler.x1} 52H${ruler.x2}`} className="stroke-edge" />
      {ruler.ticks.map((tick) => (
        <g key={tick.label}>
          <path d={`M${tick.x} 46v6`} className="stroke-edge" />
          <text x={tick.x} y="40" textAnchor="middle" className="fill-ink-3 text-12">
            {tick.label}
          </text>
        </g>
      ))}
    </g>
  );
}

type LineRowProps = {
  row: Row;
  marks: ReturnType<typeof through>;
  names: Names;
  narrow: boolean;
  scale: (x: number) => number;
  width: number;
  names0: number;
};

/** Terms are steps of one ink, each a step lighter; the chosen bar is the strongest in both themes. */
const STEPS = ['opacity-100', 'opacity-80', 'opacity-65', 'opacity-50', 'opacity-40', 'opacity-30'];

function LineRow({ row, marks, names, narrow, scale, width, names0 }: LineRowProps) {
  const name = names.device(row.id);
  const barY = narrow ? row.y + 4 : row.y;
  const ink = row.chosen ? 'fill-live-fill' : 'fill-ink-3';
  const start = row.segments[0] ? scale(row.segments[0].x1) : 0;
  const end = row.segments.length ? scale(row.segments.at(-1)!.x2) : 0;
  const lineY = narrow ? row.y - 14 : row.y;
  return (
    <g>
      <text x="0" y={narrow ? row.y - 10 : row.y - 2} className={`text-14 font-600 ${row.shut ? 'fill-ink-2' : 'fill-ink'}`}>
        {name}
      </text>
      {!narrow && (
        <text x="0" y={row.y + 13} className="fill-ink-3 text-12">
          {names.owner(row.id)}
        </text>
      )}
      <path
        d={`M${narrow ? names0 : names0 - 4} ${lineY}H${row.end}`}
        className={row.chosen ? 'stroke-live' : 'stroke-thread'}
        strokeWidth={row.chosen ? 2.5 : 1.5}
      />
      {marks.gates.map((gate) => {
        const passed = !row.shut || gate.x < row.shut.x;
        const here = row.shut?.gate === gate.gate;
        if (here) return <path key={gate.gate} d={`M${gate.x} ${lineY - 9}v18`} strokeWidth="3" className={row.shut!.own ? 'stroke-warn' : 'stroke-ink'} />;
        if (!passed) return null;
        return <path key={gate.gate} d={`M${gate.x} ${lineY - (narrow ? 5 : 17)}v${narrow ? 3 : 12}m0 ${narrow ? 4 : 10}v${narrow ? 3 : 12}`} className="stroke-edge" />;
      })}
      {row.shut && (
        <text x={narrow ? 0 : row.shut.x + 12} y={narrow ? row.y + 8 : row.y + 4} className={`text-13 ${row.shut.own ? 'fill-warn' : 'fill-ink-2'}`}>
          {row.shut.reason.slice(0, Math.floor((width - (narrow ? 0 : row.shut.x)) / 6.6))}
        </text>
      )}
      {row.segments.length > 0 && (
        <>
          <rect x={start - 1} y={barY - 9} width={end - start + 2} height="18" rx="2" className={`fill-none ${row.chosen ? 'stroke-live' : 'stroke-thread'}`} />
          {row.segments.map((segment, at) => {
            const x = scale(segment.x1);
            const wide = Math.max(scale(segment.x2) - x - 1.5, 0);
            return <rect key={segment.term} x={x} y={barY - 8} width={wide} height="16" className={`${ink} ${STEPS[at]}`} />;
          })}
          {row.chosen &&
            !narrow &&
            row.segments
              .filter((segment) => segment.x2 - segment.x1 > TERM_WORDS[segment.term].length * 6.2)
              .map((segment) => (
                <text key={segment.term} x={segment.x1 + 1} y={barY - 12} className="fill-ink-2 text-12">
                  {TERM_WORDS[segment.term]}
                </text>
              ))}
          <text x={width} y={barY + 5} textAnchor="end" className={`text-14 font-600 ${row.chosen ? 'fill-live' : 'fill-ink'}`}>
            {row.total}
          </text>
        </>
      )}
    </g>
  );
}

type GhostProps = { row: Row | undefined; by: number; ruler: { x1: number; x2: number } | null; scale: (x: number) => number; narrow: boolean };

/** How much the runner-up lacked, laid at the end of its bar: it then ends where the winner does. */
function Ghost({ row, by, ruler, scale, narrow }: GhostProps) {
  if (!row?.segments.length || !ruler) return null;
  const x = scale(row.segments.at(-1)!.x2);
  const wide = Math.max(by * (ruler.x2 - ruler.x1), 2) + 3;
  const y = (narrow ? row.y + 4 : row.y) - 8;
  return (
    <>
      <pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">
        <path d="M0 0v6" className="stroke-live" strokeWidth="2.4" />
      </pattern>
      <rect x={x} y={y} width={wide} height="16" fill="url(#hatch)" strokeDasharray="3 2" className="stroke-live" />
    </>
  );
}
