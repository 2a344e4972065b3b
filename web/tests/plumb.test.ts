/** The plumb line's marks: both sides of a beam are equally long, and nothing is left out of the sum. */
import { expect, test } from 'vitest';
import { bars, beam, scale } from '../src/pictures/plumb';

test('both sides of a beam are as long as each other', () => {
  const found = beam(
    [
      { account: 'balance', member: 'ada', amount: -12_400_000 },
      { account: 'balance', member: 'noor', amount: 11_780_000 },
      { account: 'verification', member: null, amount: 620_000 },
    ],
    20_000_000,
    200,
    0,
  );
  expect(found.left.at(-1)!.x2).toBeCloseTo(found.right.at(-1)!.x2, 9);
  expect(found.left.at(-1)!.x2).toBeCloseTo(124, 6);
  expect(found.right.map((side) => side.amount)).toEqual([11_780_000, 620_000]);
  expect(found.cut).toBe(false);
});

test('what is far above the others is cut and says so, still equal on both sides', () => {
  const full = scale([1, 1, 1, 1000]);
  expect(full).toBe(40);
  const found = beam([{ account: 'balance', member: 'a', amount: -1000 }, { account: 'balance', member: 'b', amount: 1000 }], full, 100, 0);
  expect(found.cut).toBe(true);
  expect(found.left[0]!.x2).toBeCloseTo(100, 9);
  expect(found.right[0]!.x2).toBeCloseTo(100, 9);
});

test('balances are one bar each, the largest first, and still sum to what the accounts sum to', () => {
  const accounts = [
    { kind: 'balance', member: 'ada', amount: -48, held: 3 },
    { kind: 'balance', member: 'noor', amount: 40, held: 0 },
    { kind: 'pending', member: 'noor', amount: 6, held: 0 },
    { kind: 'verification', member: null, amount: 2, held: 0 },
    { kind: 'burn', member: null, amount: 0, held: 0 },
  ];
  const found = bars(accounts);
  expect(found.map((bar) => bar.member)).toEqual(['noor', 'verification', 'ada']);
  expect(found.reduce((sum, bar) => sum + bar.amount + bar.pending, 0)).toBe(0);
  expect(found[0]).toMatchObject({ amount: 40, pending: 6 });
});

test('what people had under the other credit line is one bar, and no part of theirs', () => {
  const found = bars([
    { kind: 'balance', member: 'A', amount: 600, held: 0 },
    { kind: 'aside', member: 'A', amount: -90, held: 0 },
    { kind: 'aside', member: 'B', amount: 80, held: 0 },
    { kind: 'issue', member: null, amount: -590, held: 0 },
  ]);
  expect(found.map((bar) => [bar.member, bar.amount])).toEqual([
    ['A', 600],
    ['set aside', -10],
    ['issue', -590],
  ]);
});

test('an empty ledger has a scale and no bars', () => {
  expect(scale([])).toBeGreaterThan(0);
  expect(bars([])).toEqual([]);
});
