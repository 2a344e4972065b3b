import { expect, test } from 'vitest';
import { asked, exported, narrowedOf } from '../src/dashboard/LedgerFilter';
import { line, reach, stepAt } from '../src/pictures/chart';

test('a line stands still where nothing happens, goes up or down by its side, and ends on zero', () => {
  expect(line([0, 0, 0], 3, 10, 1)).toBe('M0 0H1H2H3');
  expect(line([10, 0, 5], 3, 10, 1)).toBe('M0 0V-1H1V0H2V-0.5H3V0');
  expect(line([10, 10], 2, 20, -1)).toBe('M0 0V0.5H1H2V0');
});

test('what was taken back more than earned hangs on the other side, within the same scale', () => {
  const full = reach([{ who: 'a', earned: [-4, 2], spent: [0, 3] }]);
  expect(full).toBe(4);
  expect(line([-4, 2], 2, full, 1)).toBe('M0 0V1H1V-0.5H2V0');
});

test('nothing at all has a scale, too', () => {
  expect(reach([])).toBe(1);
});

test('the step under a point is one that there is, at both edges', () => {
  expect([stepAt(-1, 30), stepAt(0, 30), stepAt(0.999, 30), stepAt(1, 30), stepAt(7, 30)]).toEqual([0, 0, 29, 29, 29]);
});

test('a filter in an address is read back as it was, and what nobody could have picked is left out', () => {
  const whole = { member: 'A'.repeat(26), device: 'B'.repeat(26), kind: 'settle', since: '2026-02-01', until: '2026-02-03', by: 'device' } as const;
  expect(narrowedOf(whole)).toEqual(whole);
  for (const wrong of [
    { member: '<img src=x>' },
    { device: "' or 1=1 --" },
    { kind: 'constructor' },
    { kind: 'toString' },
    { since: 'yesterday' },
    { since: '2026-99-99' },
    { until: ['2026-02-03'] },
    { by: 'nobody' },
    { other: 'x' },
  ]) {
    expect(narrowedOf(wrong)).toEqual({});
  }
});

test('days are whole days here: until is the day after', () => {
  const query = new URLSearchParams(asked({ since: '2026-02-01', until: '2026-02-01' }));
  expect(Number(query.get('until_ms')) - Number(query.get('since_ms'))).toBe(86_400_000);
});

test('an export names the events of a kind', () => {
  expect(exported({ kind: 'admin', device: 'D' })).toBe('device=D&event=credits.taken&event=credits.given');
  expect(exported({})).toBe('');
});
