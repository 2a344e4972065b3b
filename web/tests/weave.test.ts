/** The weave's marks: what a picture must not get wrong. */
import { describe, expect, test } from 'vitest';
import { type Facts, merged, type Stitch, weave } from '../src/pictures/weave';

const NOW = 1_800_000_000_000;
const BOX = { width: 600, row: 40, group: 20, top: 10 };

function line(id: string, group = 'Ada', spans: Facts['lines'][number]['spans'] = [{ state: 'ready', from: 0 }]) {
  return { id, group, spans };
}

function stitch(change: Partial<Stitch> = {}): Stitch {
  const base: Stitch = {
    key: `${change.job ?? 'j'}.${change.worker ?? 'b'}.${change.from ?? 0}`,
    job: 'j',
    asker: 'a',
    worker: 'b',
    from: NOW - 30_000,
    to: NOW - 20_000,
    relayed: false,
    outcome: 'done',
    label: 'ocr',
  };
  return { ...base, ...change };
}

function facts(change: Partial<Facts> = {}): Facts {
  return { now: NOW, seconds: 60, lines: [line('a'), line('b'), line('c', 'Noor')], stitches: [], stale: null, ...change };
}

test('time runs left to right and now is the right edge', () => {
  const { bars } = weave(facts({ stitches: [stitch()] }), BOX);
  expect(bars[0]).toMatchObject({ x1: 300, x2: 400, kind: 'done' });
});

test('a running job goes past now, so that it grows as the picture moves', () => {
  const { bars } = weave(facts({ stitches: [stitch({ to: null, outcome: 'running' })] }), BOX);
  expect(bars[0]!.x2).toBeGreaterThan(600);
});

test('devices are grouped by owner, in the given order, and never share a place', () => {
  const { rows, groups } = weave(facts(), BOX);
  expect(rows.map((row) => row.id)).toEqual(['a', 'b', 'c']);
  expect(groups.map((group) => group.name)).toEqual(['Ada', 'Noor']);
  const places = rows.map((row) => row.y);
  expect(places.every((y, at) => at === 0 || y - places[at - 1]! >= BOX.row)).toBe(true);
});

test('a job of a device for itself has a ring before its bar and no thread', () => {
  const { threads, rings, bars } = weave(facts({ stitches: [stitch({ asker: 'b' })] }), BOX);
  expect(threads).toEqual([]);
  expect(rings[0]!.x).toBeLessThan(bars[0]!.x1);
});

test('relayed work visibly goes down to the relay and up again, and only then is there a relay line', () => {
  expect(weave(facts({ stitches: [stitch()] }), BOX).relay).toBeNull();
  const marks = weave(facts({ stitches: [stitch({ relayed: true })] }), BOX);
  expect(marks.relay).toBeGreaterThan(Math.max(...marks.rows.map((row) => row.y)));
  expect(marks.threads[0]!.d.split('M').length).toBe(3);
  expect(marks.diamonds[0]!.y).toBe(marks.relay);
});

test('a failed attempt is dashed, and dotted on to the next attempt of its job', () => {
  const failed = stitch({ worker: 'b', outcome: 'failed', to: NOW - 25_000 });
  const second = stitch({ worker: 'c', from: NOW - 25_000, to: null, outcome: 'running' });
  const marks = weave(facts({ stitches: [failed, second] }), BOX);
  expect(marks.bars.map((bar) => bar.kind)).toEqual(['failed', 'running']);
  expect(marks.threads.filter((thread) => thread.kind === 'again')).toHaveLength(1);
});

test('who may not know who asked sees a bar without thread and ring', () => {
  const marks = weave(facts({ stitches: [stitch({ asker: null, label: '' })] }), BOX);
  expect(marks.bars).toHaveLength(1);
  expect(marks.threads).toHaveLength(0);
  expect(marks.rings).toHaveLength(0);
  expect(marks.bars[0]!.label).toBeNull();
});

describe('presence', () => {
  test('an offline device has no line, and the line before ends with a cap', () => {
    const spans = [
      { state: 'ready' as const, from: NOW - 60_000 },
      { state: 'offline' as const, from: NOW - 30_000 },
    ];
    const { rows } = weave(facts({ lines: [line('a', 'Ada', spans)] }), BOX);
    expect(rows[0]!.pieces).toEqual([{ state: 'ready', x1: 0, x2: 300, cap: true }]);
  });
  test('a change of state breaks the line where it happened', () => {
    const spans = [
      { state: 'ready' as const, from: 0 },
      { state: 'paused' as const, from: NOW - 15_000 },
    ];
    const { rows } = weave(facts({ lines: [line('a', 'Ada', spans)] }), BOX);
    expect(rows[0]!.pieces.map((piece) => [piece.state, piece.x1])).toEqual([
      ['ready', 0],
      ['paused', 450],
    ]);
  });
});

test('what is not known is not drawn: a stopped picture ends where news ended', () => {
  const running = stitch({ to: null, outcome: 'running' });
  const marks = weave(facts({ stale: NOW - 12_000, stitches: [running] }), BOX);
  expect(marks.stop).toBe(480);
  expect(marks.bars[0]!.x2).toBe(480);
  for (const row of marks.rows) for (const piece of row.pieces) expect(piece.x2).toBeLessThanOrEqual(480);
});

describe('many jobs', () => {
  const quick = Array.from({ length: 240 }, (_, at) =>
    stitch({ job: `j${at}`, from: NOW - 30_000 + at * 50, to: NOW - 30_000 + at * 50 + 40, label: 'embed' }),
  );
  test('of one pair become one band that says how many', () => {
    const { bars } = weave(facts({ stitches: quick }), BOX);
    expect(bars).toHaveLength(1);
    expect(bars[0]!.label!.text).toBe('embed × 240');
  });
  test('failures are never merged away', () => {
    const found = merged([...quick, stitch({ job: 'x', outcome: 'failed', label: 'embed', from: NOW - 29_000 })], 0.34);
    expect(found.filter((one) => one.outcome === 'failed')).toHaveLength(1);
  });
  test('three in a while stay themselves', () => {
    expect(merged(quick.slice(0, 3), 0.34)).toHaveLength(3);
  });
});

test('labels of a row do not overlap, stay in the picture, and are inside where they fit', () => {
  const stitches = Array.from({ length: 30 }, (_, at) =>
    stitch({ job: `j${at}`, label: 'transcription', from: NOW - 58_000 + at * 2000, to: NOW - 58_000 + at * 2000 + 900 }),
  );
  const marks = weave(facts({ stitches: [...stitches, stitch({ job: 'long', worker: 'c', to: NOW })] }), BOX);
  const above = marks.bars.flatMap((bar) => (bar.label && !bar.label.inside ? [bar.label] : []));
  expect(above.length).toBeGreaterThan(2);
  above.forEach((label, at) => {
    const end = label.x + label.text.length * 6;
    expect(end).toBeLessThanOrEqual(BOX.width);
    const next = above[at + 1];
    if (next) expect(next.x).toBeGreaterThan(end);
  });
  expect(marks.bars.find((bar) => bar.stitch.job === 'long')!.label!.inside).toBe(true);
  const phone = weave(facts({ stitches }), { ...BOX, tight: true });
  expect(phone.bars.every((bar) => bar.label === null || bar.label.inside)).toBe(true);
});
