/** The plumb line: one upright, zero; what is owed hangs left of it, what is earned right, and both are as long. */

export type Account = { kind: string; member: string | null; amount: number; held: number };
export type Bar = { member: string | null; amount: number; pending: number; held: number };

/** One bar per person, one for each account of the system that is not empty, one for all that is set aside; the largest first. */
export function bars(accounts: Account[]): Bar[] {
  const found = new Map<string, Bar>();
  for (const one of accounts) {
    const aside = one.kind === 'aside';
    const member = aside ? null : one.member;
    const key = aside ? 'set aside' : (member ?? one.kind);
    const bar = found.get(key) ?? { member, amount: 0, pending: 0, held: 0 };
    if (member && one.kind === 'pending') bar.pending += one.amount;
    else bar.amount += one.amount;
    bar.held += one.held;
    found.set(key, bar);
  }
  return [...found.entries()]
    .filter(([, bar]) => bar.member !== null || bar.amount !== 0)
    .map(([key, bar]) => Object.assign(bar, { member: bar.member ?? key }))
    .sort((a, b) => b.amount + b.pending - (a.amount + a.pending));
}

export type Entry = { account: string; member: string | null; amount: number };
export type Side = { who: string | null; account: string; amount: number; x1: number; x2: number };
export type Beam = { left: Side[]; right: Side[]; cut: boolean };

/** Beams share one scale; those over 40 times the median are cut, and say so by a break. */
export function scale(totals: number[]): number {
  const sorted = totals.filter((total) => total > 0).sort((a, b) => a - b);
  const largest = sorted.at(-1) ?? 1;
  const median = sorted[Math.floor(sorted.length / 2)] ?? 1;
  return Math.min(largest, median * 40);
}

/** A posting as a beam on the upright: each side `reach` long at the scale's full. */
export function beam(entries: Entry[], full: number, reach: number, gap = 1.5): Beam {
  const total = entries.filter((one) => one.amount > 0).reduce((sum, one) => sum + one.amount, 0);
  const shown = Math.min(total, full);
  const factor = total > 0 ? (shown / total) * (reach / full) : 0;
  const side = (wanted: Entry[]): Side[] => {
    let at = 0;
    return wanted.map((one) => {
      const long = Math.abs(one.amount) * factor;
      const found = { who: one.member, account: one.account, amount: one.amount, x1: at, x2: Math.max(at + long - gap, at + 0.5) };
      at += long;
      return found;
    });
  };
  const big = (a: Entry, b: Entry) => Math.abs(b.amount) - Math.abs(a.amount);
  return {
    left: side(entries.filter((one) => one.amount < 0).sort(big)),
    right: side(entries.filter((one) => one.amount > 0).sort(big)),
    cut: total > full,
  };
}
