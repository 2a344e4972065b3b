/** The weave: every device a line while it is here, every job a stitch from who asks to who works. Facts in, marks out.

Time runs from left to right; the right edge is now. Nothing here draws: a mark is numbers and words, so that tests can
look at them. */

export type Presence = 'ready' | 'paused' | 'draining' | 'benched' | 'pending' | 'offline';

/** A device: `spans` say since when it was what, in order; the last one still holds. */
export type Line = { id: string; group: string; spans: { state: Presence; from: number }[] };

export type Outcome = 'running' | 'done' | 'failed';

/** One attempt of a job. `asker` null: whoever looks may not know who asked. Times in ms. */
export type Stitch = {
  key: string;
  job: string;
  asker: string | null;
  worker: string;
  from: number;
  to: number | null;
  relayed: boolean;
  outcome: Outcome;
  label: string;
  /** How many jobs it stands for, where several were merged into a band. */
  many?: number;
};

export type Facts = {
  now: number;
  seconds: number;
  lines: Line[];
  stitches: Stitch[];
  /** Since when nothing is heard any more; null while live. */
  stale: number | null;
};

export type Box = { width: number; row: number; group: number; top: number; tight?: boolean };

export type Piece = { state: Presence; x1: number; x2: number; cap: boolean };
export type Row = { id: string; y: number; pieces: Piece[] };
export type Bar = {
  stitch: Stitch;
  row: string;
  x1: number;
  x2: number;
  y: number;
  kind: 'running' | 'done' | 'failed' | 'band' | 'live-band';
  label: { text: string; x: number; y: number; inside: boolean } | null;
};
export type Thread = { stitch: Stitch; kind: 'plain' | 'live' | 'failed' | 'again' | 'relayed'; d: string; x: number };
export type Ring = { stitch: Stitch; x: number; y: number; kind: 'plain' | 'live' | 'failed' | 'relayed' };
export type Marks = {
  height: number;
  groups: { name: string; y: number }[];
  rows: Row[];
  relay: number | null;
  threads: Thread[];
  bars: Bar[];
  rings: Ring[];
  diamonds: { x: number; y: number }[];
  ticks: { x: number; label: string; edge: boolean }[];
  /** Where the known picture ends, if it has stopped. */
  stop: number | null;
};

/** Bars are drawn past the right edge and clipped there: they grow by themselves as the picture moves on. */
export const SLACK_S = 12;
const ASIDE = 7;
const LETTER = 6.3;
const BAR_MIN = 5;
const MERGE_S = 0.34;

export function weave(facts: Facts, box: Box): Marks {
  const { width } = box;
  const start = facts.now - facts.seconds * 1000;
  const edge = facts.stale === null ? facts.now + SLACK_S * 1000 : facts.stale;
  const x = (ms: number) => ((ms - start) / (facts.seconds * 1000)) * width;
  const perPixel = facts.seconds / width;

  const groups: Marks['groups'] = [];
  const rows: Row[] = [];
  let y = box.top;
  let group: string | null = null;
  for (const line of facts.lines) {
    if (line.group !== group && box.group > 0) {
      groups.push({ name: line.group, y: y + box.group / 2 });
      y += box.group;
    }
    group = line.group;
    rows.push({ id: line.id, y: y + box.row / 2, pieces: pieces(line, x, start, edge) });
    y += box.row;
  }
  const place = new Map(rows.map((row) => [row.id, row.y]));
  const seen = merged(facts.stitches, Math.max(MERGE_S, perPixel * 5)).filter(
    (stitch) => (stitch.to ?? facts.now) >= start && stitch.from <= edge && place.has(stitch.worker),
  );
  const relayed = seen.some((stitch) => stitch.relayed && stitch.asker !== stitch.worker);
  const relay = relayed ? y + box.row / 2 + (box.group > 0 ? box.group / 2 : 0) : null;
  if (relay !== null) y = relay + box.row / 2;

  const marks: Marks = {
    height: y,
    groups,
    rows,
    relay,
    threads: [],
    bars: [],
    rings: [],
    diamonds: [],
    ticks: ticks(facts.seconds, width, !!box.tight),
    stop: facts.stale === null ? null : x(facts.stale),
  };
  for (const stitch of seen) {
    marks.bars.push(bar(stitch, x, place.get(stitch.worker)!, edge));
    connect(marks, stitch, x(stitch.from), place, relay);
  }
  again(marks, seen, x, place);
  write(marks.bars, width, !!box.tight);
  return marks;
}

function pieces(line: Line, x: (ms: number) => number, start: number, edge: number): Piece[] {
  const found: Piece[] = [];
  line.spans.forEach((span, at) => {
    const to = line.spans[at + 1]?.from ?? edge;
    if (span.state === 'offline' || to <= start || span.from >= edge) return;
    const gone = line.spans[at + 1]?.state === 'offline';
    found.push({ state: span.state, x1: x(Math.max(span.from, start)), x2: x(Math.min(to, edge)), cap: gone });
  });
  return found;
}

function bar(stitch: Stitch, x: (ms: number) => number, y: number, edge: number): Bar {
  const x1 = x(stitch.from);
  const x2 = stitch.to === null ? x(edge) : Math.max(x(stitch.to), x1 + BAR_MIN);
  let kind: Bar['kind'] = stitch.outcome;
  if (stitch.many) kind = stitch.to === null ? 'live-band' : 'band';
  return { stitch, row: stitch.worker, x1, x2, y, kind, label: null };
}

/** The thread from who asks to who works: straight down or up, or visibly by way of the relay. */
function connect(marks: Marks, stitch: Stitch, x: number, place: Map<string, number>, relay: number | null): void {
  const to = place.get(stitch.worker)!;
  const from = stitch.asker === null ? undefined : place.get(stitch.asker);
  if (from === undefined) return;
  const failed = stitch.outcome === 'failed';
  const live = stitch.outcome === 'running';
  let kind: Ring['kind'] = failed ? 'failed' : live ? 'live' : 'plain';
  if (from === to) {
    marks.rings.push({ stitch, x: x - 6, y: from, kind });
    return;
  }
  if (stitch.relayed && relay !== null) {
    kind = 'relayed';
    const down = x - ASIDE;
    marks.threads.push({ stitch, kind, d: `M${round(down)} ${from}V${relay}M${round(x)} ${relay}V${to}`, x });
    marks.diamonds.push({ x: x - ASIDE / 2, y: relay });
    marks.rings.push({ stitch, x: down, y: from, kind });
    return;
  }
  marks.threads.push({ stitch, kind, d: `M${round(x)} ${from}V${to}`, x });
  marks.rings.push({ stitch, x, y: from, kind });
}

/** A dotted thread from an attempt that failed to the next attempt of the same job. */
function again(marks: Marks, seen: Stitch[], x: (ms: number) => number, place: Map<string, number>): void {
  for (const failed of seen.filter((one) => one.outcome === 'failed')) {
    const next = seen
      .filter((one) => one.job === failed.job && one.from >= (failed.to ?? failed.from) - 1 && one !== failed)
      .sort((one, other) => one.from - other.from)[0];
    if (!next || next.worker === failed.worker) continue;
    const at = x(next.from);
    const d = `M${round(at)} ${place.get(failed.worker)}V${place.get(next.worker)}`;
    marks.threads.push({ stitch: next, kind: 'again', d, x: at });
  }
}

/** Many small jobs of one pair become a band: more than about three a second, or closer than the eye can part. */
export function merged(stitches: Stitch[], gap_s: number): Stitch[] {
  const pairs = new Map<string, Stitch[]>();
  const rest: Stitch[] = [];
  for (const stitch of stitches) {
    if (stitch.outcome !== 'done') {
      rest.push(stitch);
      continue;
    }
    const pair = `${stitch.asker} ${stitch.worker} ${stitch.label} ${stitch.relayed}`;
    pairs.set(pair, [...(pairs.get(pair) ?? []), stitch]);
  }
  for (const pair of pairs.values()) {
    pair.sort((one, other) => one.from - other.from);
    let run: Stitch[] = [];
    for (const stitch of pair) {
      const last = run.at(-1);
      if (last && stitch.from - last.from > gap_s * 1000) {
        rest.push(...band(run));
        run = [];
      }
      run.push(stitch);
    }
    rest.push(...band(run));
  }
  return rest.sort((one, other) => one.from - other.from);
}

function band(run: Stitch[]): Stitch[] {
  const first = run[0];
  if (!first || run.length < 4) return run;
  const to = Math.max(...run.map((one) => one.to ?? one.from));
  return [{ ...first, key: `${first.key}+${run.length}`, to, many: run.reduce((sum, one) => sum + (one.many ?? 1), 0) }];
}

/** Labels go inside a bar if they fit, else above it; none overlaps another of its row, and on phones only inside. */
function write(bars: Bar[], width: number, tight: boolean): void {
  const taken = new Map<string, number>();
  for (const bar of [...bars].sort((one, other) => one.x1 - other.x1)) {
    const text = bar.stitch.many ? `${bar.stitch.label} × ${bar.stitch.many}` : bar.stitch.label;
    if (!text) continue;
    const long = text.length * LETTER;
    const left = Math.max(bar.x1, 0);
    const striped = bar.kind === 'band' || bar.kind === 'live-band';
    if (!striped && Math.min(bar.x2, width) - left >= long + 10) {
      bar.label = { text, x: left + 5, y: bar.y, inside: true };
      continue;
    }
    if (tight || left < (taken.get(bar.row) ?? -1) || left + long > width) continue;
    taken.set(bar.row, left + long + 6);
    bar.label = { text, x: left, y: bar.y - 15, inside: false };
  }
}

function ticks(seconds: number, width: number, tight: boolean): Marks['ticks'] {
  const parts = tight ? 2 : 4;
  return Array.from({ length: parts + 1 }, (_, at) => {
    const ago = seconds - (seconds * at) / parts;
    const shown = ago < 120 ? `${ago}\u00a0s ago` : ago < 7200 ? `${ago / 60}\u00a0min ago` : `${ago / 3600}\u00a0h ago`;
    return { x: (width * at) / parts, label: at === parts ? 'now' : shown, edge: at === 0 };
  });
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

/** How a device's line in words reads, for tables and screen readers. */
export function told(line: Line): string {
  const last = line.spans.at(-1);
  return last ? last.state : 'offline';
}
