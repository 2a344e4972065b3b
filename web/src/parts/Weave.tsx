/** Draws the weave's marks, moves them with the time, and makes every job in them reachable. */
import { type KeyboardEvent, type ReactNode, useEffect, useLayoutEffect, useMemo, useRef, useState } from 'react';
import { type Bar, type Facts, type Marks, type Stitch, weave } from '../pictures/weave';
import { clock } from './words';

const FRAME_MS = 66;
const CALM_MS = 5000;

type WeaveProps = {
  facts: Facts;
  /** What performance.now() was when the facts came. */
  at: number;
  moving: boolean;
  row: number;
  group: number;
  tight?: boolean;
  left?: (rows: Marks['rows'], groups: Marks['groups'], relay: number | null) => ReactNode;
  right?: (rows: Marks['rows'], relay: number | null) => ReactNode;
  hrefOf: (stitch: Stitch) => string | undefined;
  describe: (stitch: Stitch) => ReactNode;
  say: (stitch: Stitch) => string;
};

const THREADS = {
  plain: 'stroke-ink-2',
  live: 'stroke-live',
  failed: 'stroke-fail',
  again: 'stroke-fail',
  relayed: 'stroke-relay',
};

export function Weave(props: WeaveProps) {
  const { facts, tight } = props;
  const frame = useRef<HTMLDivElement>(null);
  const mover = useRef<SVGGElement>(null);
  const [width, setWidth] = useState(0);
  const [lifted, setLifted] = useState<{ bar: Bar; x: number } | null>(null);

  useLayoutEffect(() => {
    const box = frame.current!;
    const watch = new ResizeObserver(() => setWidth(Math.floor(box.clientWidth)));
    watch.observe(box);
    setWidth(Math.floor(box.clientWidth));
    return () => watch.disconnect();
  }, []);

  const marks = useMemo(
    () => weave(facts, { width: Math.max(width, 120), row: props.row, group: props.group, top: 8, tight }),
    [facts, width, props.row, props.group, tight],
  );
  useMoving(mover, props, width);

  const card = lifted && props.describe(lifted.bar.stitch);
  return (
    <div className={tight ? 'relative' : 'grid grid-cols-[minmax(150px,200px)_minmax(0,1fr)] wider:grid-cols-[200px_minmax(0,1fr)_190px]'}>
      {!tight && <div className="relative">{props.left?.(marks.rows, marks.groups, marks.relay)}</div>}
      <div ref={frame} className="relative min-w-0">
        <div className="relative h-[24px] text-12 text-ink-3">
          {marks.ticks.map((tick) => (
            <span
              key={tick.x}
              style={{ left: tick.x }}
              className={`absolute whitespace-nowrap ${tick.label === 'now' ? '-translate-x-full font-600 text-ink' : tick.edge ? '' : '-translate-x-1/2'}`}
            >
              {tick.label === 'now' ? `now ${clock(facts.now)}` : tick.label}
            </span>
          ))}
        </div>
        {tight && props.left?.(marks.rows, marks.groups, marks.relay)}
        <Picture marks={marks} width={width} height={marks.height + 8} mover={mover} lifted={lifted?.bar ?? null} setLifted={setLifted} {...props} />
        {card && (
          <div
            role="status"
            style={{ left: Math.min(Math.max(lifted.x - 40, 0), Math.max(width - 300, 0)), top: lifted.bar.y + 44 }}
            className="pointer-events-none absolute z-10 w-[300px] max-w-full rounded-10 border border-line bg-raised px-3 py-2 text-13 shadow-float"
          >
            {card}
          </div>
        )}
      </div>
      {!tight && <div className="relative hidden wider:block">{props.right?.(marks.rows, marks.relay)}</div>}
    </div>
  );
}

/** Time passes: the whole group slides left, at most 15 times a second, by one attribute. */
function useMoving(mover: React.RefObject<SVGGElement | null>, { facts, at, moving }: WeaveProps, width: number): void {
  useEffect(() => {
    const calm = matchMedia('(prefers-reduced-motion: reduce)').matches;
    const slide = () => {
      const ms = Math.min(performance.now() - at, 60_000);
      mover.current?.setAttribute('transform', `translate(${((-ms / 1000) * width) / facts.seconds} 0)`);
    };
    if (!moving || facts.stale !== null) {
      mover.current?.setAttribute('transform', 'translate(0 0)');
      return undefined;
    }
    slide();
    const timer = setInterval(() => document.hidden || slide(), calm ? CALM_MS : FRAME_MS);
    return () => clearInterval(timer);
  }, [mover, facts, at, moving, width]);
}

type PictureProps = WeaveProps & {
  marks: Marks;
  width: number;
  height: number;
  mover: React.RefObject<SVGGElement | null>;
  lifted: Bar | null;
  setLifted: (lifted: { bar: Bar; x: number } | null) => void;
};

function Picture({ marks, width, height, mover, lifted, setLifted, facts, hrefOf, say }: PictureProps) {
  const stop = marks.stop;
  const dim = lifted ? 'opacity-35' : '';
  function walk(event: KeyboardEvent<SVGSVGElement>) {
    const ways: Record<string, [number, number]> = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const way = ways[event.key];
    if (!way) return;
    event.preventDefault();
    const here = marks.bars.find((bar) => bar.stitch.key === document.activeElement?.getAttribute('data-key'));
    const next = here && neighbour(marks.bars, here, way);
    if (next) event.currentTarget.querySelector<SVGAElement>(`[data-key="${CSS.escape(next.stitch.key)}"]`)?.focus();
  }
  return (
    <svg className="block w-full" height={height} width={width || undefined} role="group" aria-label="Jobs, by device and time" onKeyDown={walk}>
      <clipPath id="weave-frame">
        <rect x="-8" y="0" width={width + 8} height={height} />
      </clipPath>
      {marks.ticks.slice(0, -1).map((tick) => (
        <path key={tick.x} d={`M${tick.x + 0.5} 0V${height}`} className="stroke-line" strokeDasharray="1 5" />
      ))}
      <g clipPath="url(#weave-frame)">
        <g ref={mover}>
          <g className={dim}>
            {marks.rows.map((row) => row.pieces.map((piece) => <Piece key={`${row.id}${piece.x1}`} y={row.y} {...piece} />))}
            {marks.relay !== null && (
              <path d={`M-40 ${marks.relay - 1.5}H${width + 400}M-40 ${marks.relay + 1.5}H${width + 400}`} className="stroke-relay" strokeWidth="1" />
            )}
          </g>
          {marks.threads.map((thread) => (
            <g key={`${thread.stitch.key} ${thread.kind} ${thread.d}`} className={lifted && lifted.stitch !== thread.stitch ? 'opacity-20' : ''}>
              <path d={thread.d} className="fill-none stroke-ground" strokeWidth="4.5" />
              <path
                d={thread.d}
                className={`fill-none ${THREADS[thread.kind]}`}
                strokeWidth="1.7"
                strokeDasharray={thread.kind === 'again' ? '1.7 3.4' : undefined}
              />
            </g>
          ))}
          {marks.diamonds.map(({ x, y }) => (
            <path key={x} d={`m${x} ${y - 5} 5 5-5 5-5-5z`} className="fill-relay" />
          ))}
          {marks.bars.map((bar, at) => (
            <a
              key={bar.stitch.key}
              data-key={bar.stitch.key}
              href={hrefOf(bar.stitch)}
              role={hrefOf(bar.stitch) ? undefined : 'img'}
              tabIndex={at === 0 ? 0 : -1}
              aria-label={say(bar.stitch)}
              className={`outline-offset-2 ${lifted && lifted !== bar ? 'opacity-35' : ''}`}
              onPointerEnter={(event) => setLifted({ bar, x: event.nativeEvent.offsetX })}
              onPointerLeave={() => setLifted(null)}
              onFocus={() => setLifted({ bar, x: bar.x1 })}
              onBlur={() => setLifted(null)}
            >
              <rect x={bar.x1} y={bar.y - 12} width={Math.max(bar.x2 - bar.x1, 24)} height="24" className="fill-transparent" />
              <BarMark bar={bar} />
            </a>
          ))}
          {marks.rings.map((ring) => (
            <circle
              key={ring.stitch.key}
              cx={ring.x}
              cy={ring.y}
              r="3.7"
              strokeWidth="1.6"
              className={`fill-ground ${THREADS[ring.kind]} ${lifted && lifted.stitch !== ring.stitch ? 'opacity-35' : ''}`}
            />
          ))}
          {marks.bars.map((bar) => bar.label && <Label key={bar.stitch.key} bar={bar} />)}
        </g>
        {stop === null &&
          marks.bars
            .filter((bar) => bar.stitch.to === null)
            .map((bar) => <rect key={bar.stitch.key} x={width - 3} y={bar.y - 9} width="3" height="18" className="fill-live" />)}
      </g>
      {stop !== null && (
        <g>
          <path d={`M${stop} 0V${height}`} className="stroke-warn" strokeWidth="1.5" />
          <text x={stop + 8} y={height / 2} className="fill-warn text-12">
            not known
          </text>
        </g>
      )}
      <path d={`M${width - 0.75} 0V${height}`} className="stroke-ink" strokeWidth="1.5" />
      <title>{`The last ${facts.seconds} seconds`}</title>
    </svg>
  );
}

/** The nearest bar in a direction: along its row in time, or in the next row with any. */
function neighbour(bars: Bar[], here: Bar, [along, across]: [number, number]): Bar | undefined {
  const ahead = bars.filter((bar) =>
    along ? bar.y === here.y && Math.sign(bar.x1 - here.x1) === along : Math.sign(bar.y - here.y) === across,
  );
  const far = (bar: Bar) => Math.abs(bar.x1 - here.x1) + Math.abs(bar.y - here.y) * (across ? 1000 : 1);
  return ahead.sort((one, other) => far(one) - far(other))[0];
}

function Piece({ y, state, x1, x2, cap }: { y: number; state: string; x1: number; x2: number; cap: boolean }) {
  const end = cap && <path d={`M${x2} ${y - 4}v8`} className="stroke-thread" strokeWidth="1.5" />;
  if (state === 'paused') {
    return (
      <>
        <path d={`M${x1} ${y - 2}H${x2}M${x1} ${y + 2}H${x2}`} className="stroke-thread" strokeWidth="1" />
        {end}
      </>
    );
  }
  if (state === 'draining') return <path d={`M${x1} ${y - 3}L${x2} ${y - 0.4}V${y + 0.4}L${x1} ${y + 3}z`} className="fill-thread" />;
  const looks: Record<string, [string, string | undefined]> = {
    benched: ['stroke-warn', '7 4'],
    pending: ['stroke-warn', '1.7 4.3'],
  };
  const [stroke, dash] = looks[state] ?? ['stroke-thread', undefined];
  return (
    <>
      <path d={`M${x1} ${y}H${x2}`} className={stroke} strokeWidth="1.5" strokeDasharray={dash} />
      {end}
    </>
  );
}

function BarMark({ bar }: { bar: Bar }) {
  const { x1, x2, y, kind } = bar;
  const wide = Math.max(x2 - x1, 1);
  if (kind === 'band' || kind === 'live-band') {
    return (
      <>
        <rect x={x1} y={y - 7} width={wide} height="14" className="fill-ground" />
        <path d={`M${x1} ${y}H${x2}`} strokeWidth="13" strokeDasharray="2.4 2.6" className={kind === 'band' ? 'stroke-edge' : 'stroke-live-fill'} />
      </>
    );
  }
  if (kind === 'failed') {
    return (
      <>
        <rect x={x1} y={y - 7} width={wide} height="14" rx="2" strokeDasharray="3 2" className="fill-ground stroke-fail" strokeWidth="1.3" />
        <path d={`m${x2 - 4} ${y - 4} 8 8m0-8-8 8`} className="stroke-fail" strokeWidth="1.8" />
      </>
    );
  }
  const look = kind === 'running' ? 'fill-live-fill stroke-live-fill' : 'fill-done stroke-thread';
  return <rect x={x1} y={y - 7} width={wide} height="14" rx="2" className={look} strokeWidth="1" />;
}

function Label({ bar }: { bar: Bar }) {
  const label = bar.label!;
  const inks: Record<Bar['kind'], string> = {
    running: 'fill-live-on',
    done: 'fill-ink',
    failed: 'fill-fail',
    band: 'fill-ink-2',
    'live-band': 'fill-live',
  };
  const ink = label.inside ? inks[bar.kind] : bar.kind === 'failed' ? 'fill-fail' : bar.kind.startsWith('live') ? 'fill-live' : 'fill-ink-2';
  return (
    <text
      x={label.x}
      y={label.y}
      dominantBaseline="central"
      aria-hidden="true"
      className={`pointer-events-none text-12 ${ink} ${label.inside ? 'font-500' : 'stroke-ground [paint-order:stroke] [stroke-width:4px]'}`}
    >
      {label.text}
    </text>
  );
}
