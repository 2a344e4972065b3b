/** The through-line's marks: the right order, terms that add up, reasons where lines end. */
import { expect, test } from 'vitest';
import { type Candidate, rounded, TERMS, through } from '../src/pictures/through';

const BOX = { width: 1000, names: 100, gates: 300, totals: 60, row: 36, top: 60 };

function scored(id: string, parts: number[], chosen = false): Candidate {
  const terms = Object.fromEntries(TERMS.map((term, at) => [term, parts[at] ?? 0]));
  return { id, failed: [], chosen, score: { terms, total: parts.reduce((sum, part) => sum + part, 0) } };
}

const stopped = (id: string, ...failed: [string, string][]): Candidate => ({
  id,
  chosen: false,
  score: null,
  failed: failed.map(([gate, reason]) => ({ gate, reason })),
});

test('the chosen one is first, then by score, then those that a gate stopped, the furthest first', () => {
  const found = through(
    [stopped('policy', ['policy', 'no grant']), scored('second', [0.4, 0.1]), stopped('credit', ['credit', 'too little']), scored('won', [0.45, 0.1], true)],
    BOX,
  );
  expect(found.rows.map((row) => row.id)).toEqual(['won', 'second', 'credit', 'policy']);
});

test('terms lie end to end from the ruler’s zero and end at the total', () => {
  const { rows, ruler } = through([scored('a', [0.4, 0.1, 0.1, 0.05, 0.03, 0.02], true)], BOX);
  const segments = rows[0]!.segments;
  expect(segments[0]!.x1).toBe(ruler!.x1);
  segments.slice(1).forEach((segment, at) => expect(segment.x1).toBeCloseTo(segments[at]!.x2, 9));
  expect((segments.at(-1)!.x2 - ruler!.x1) / (ruler!.x2 - ruler!.x1)).toBeCloseTo(0.7, 9);
});

test('a line ends at the first gate that is shut, and the reason begins with that gate’s name', () => {
  const { rows, gates } = through([stopped('a', ['credit', 'too little'], ['model', 'eng is not installed'])], BOX);
  expect(rows[0]!.shut!.gate).toBe('needs');
  expect(rows[0]!.end).toBe(gates[2]!.x);
  expect(rows[0]!.shut!.reason).toBe('needs: model: eng is not installed');
});

test('with nowhere to run there is no ruler and nothing to beat', () => {
  const found = through([stopped('a', ['state', 'offline'])], BOX);
  expect(found.ruler).toBeNull();
  expect(found.beat).toBeNull();
});

test('shown terms add up to the shown total, whatever they are', () => {
  let seed = 7;
  const random = () => {
    seed = (seed * 1103515245 + 12345) % 2147483648;
    return seed / 2147483648;
  };
  for (let round = 0; round < 500; round += 1) {
    const parts = TERMS.map(() => random() / 6);
    const total = parts.reduce((sum, part) => sum + part, 0);
    const shown = rounded(Object.fromEntries(TERMS.map((term, at) => [term, parts[at]!])), total);
    const sum = TERMS.reduce((all, term) => all + Math.round(shown[term] * 1000), 0);
    expect(sum).toBe(Math.round(total * 1000));
    TERMS.forEach((term, at) => expect(Math.abs(shown[term] - parts[at]!)).toBeLessThan(0.0015));
  }
});
