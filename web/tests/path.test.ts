import { expect, test } from 'vitest';
import type { Attempt, Job } from '../src/dashboard/api';
import { newest, trip } from '../src/dashboard/DevicePath';

const attempt = (worker: string, path: string, finished_ms: number | null) => ({ worker, path, started_ms: 1, finished_ms }) as Attempt;
const job = (requester: string, ...attempts: Attempt[]) => ({ requester, attempts }) as Job;

test('the newest path between two devices counts, whichever of them asked', () => {
  const jobs = [job('A', attempt('B', 'direct', 50), attempt('C', 'relayed', 70)), job('B', attempt('A', 'relayed', 60))];
  expect(newest('B', jobs)).toEqual({ path: 'relayed', other: 'A', at_ms: 60 });
  expect(newest('A', jobs)).toEqual({ path: 'relayed', other: 'C', at_ms: 70 });
});

test('work of a device for itself, and attempts that tell no path, say nothing', () => {
  expect(newest('A', [job('A', attempt('A', 'local', 50), attempt('B', '', null))])).toBeNull();
});

test('a round trip is told as people read it', () => {
  expect([0.042, 2.54, 9.96, 41.6, 1240].map(trip)).toEqual(['0.0 ms', '2.5 ms', '10.0 ms', '42 ms', '1.2 s']);
});
