import { expect, test } from 'vitest';
import { rounded, shifted } from '../src/dashboard/Weights';
import { TERMS, type Term } from '../src/pictures/through';

const USUAL: Record<Term, number> = { seconds: 0.5, rtt: 0.15, plugged: 0.1, thermal: 0.1, idle: 0.075, cost: 0.075 };
const sum = (weights: Record<Term, number>) => TERMS.reduce((all, term) => all + weights[term], 0);

test('whatever slider is moved, the six sum to one and none is below zero', () => {
  let weights = USUAL;
  for (const [term, value] of [['seconds', 0], ['rtt', 1], ['cost', 0.333], ['idle', -4], ['thermal', 9], ['seconds', 0.2]] as const) {
    weights = shifted(weights, term, value);
    expect(sum(weights)).toBeCloseTo(1, 9);
    expect(Math.min(...TERMS.map((one) => weights[one]))).toBeGreaterThanOrEqual(0);
    expect(weights[term]).toBeCloseTo(Math.min(1, Math.max(0, value)), 9);
    const saved = rounded(weights);
    expect(Math.abs(sum(saved) - 1)).toBeLessThan(1e-6);
    for (const one of TERMS) {
      expect(Math.abs(saved[one] - weights[one])).toBeLessThan(0.004);
      expect(saved[one]).toBeGreaterThanOrEqual(0);
    }
  }
});
