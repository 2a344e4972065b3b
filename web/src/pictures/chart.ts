/** Earned above zero, spent below it, in steps of time: pure functions from sums to lines. */

export type Sums = { who: string; earned: number[]; spent: number[] };
export type Chart = { since_ms: number; step_ms: number; steps: number; series: Sums[]; more: number };

/** The largest step of any series, either way: all rows share it, so that they can be compared. */
export function reach(series: Sums[]): number {
  return Math.max(1, ...series.flatMap((one) => [...one.earned, ...one.spent].map(Math.abs)));
}

/** A step line: `up` is 1 for what is drawn above zero, −1 below. x in steps, y from −1 to 1. Steps left out are 0. */
export function line(values: number[], steps: number, full: number, up: 1 | -1): string {
  let path = 'M0 0';
  let last = 0;
  for (let at = 0; at < steps; at += 1) {
    const high = Math.round(-up * ((values[at] ?? 0) / full) * 10_000) / 10_000;
    if (high !== last) path += `V${high}`;
    last = high;
    path += `H${at + 1}`;
  }
  return last === 0 ? path : `${path}V0`;
}

export const sum = (values: number[]): number => values.reduce((all, one) => all + one, 0);

/** The step under a point, from 0 (left edge) to 1 (right edge). */
export function stepAt(share: number, steps: number): number {
  return Math.min(steps - 1, Math.max(0, Math.floor(share * steps)));
}
