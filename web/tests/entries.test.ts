/** What the agent's page says of a job: what all of it cost, and every device that had any of it. */
import { expect, test } from 'vitest';
import type { PageRead } from '../src/agent/client';
import { asRan, devicesOf, type Entry } from '../src/agent/entries';

const entry: Entry = { id: 1, mode: 'ocr', title: 'scan.pdf', texts: [], started: 0, text: '' };
const read: PageRead['read'] = { width: 1, height: 1, turned: 0, text: '', lines: [] };

function page(number: number, more: Partial<PageRead>): PageRead {
  return { file: 'scan.pdf', page: number, job: `job ${number}`, model: 'm', read, ...more };
}

test('pages of several devices: what all cost, and who had any of them', () => {
  const pages = [
    page(1, { device: 'ben', path: 'direct', charge: 37_500 }),
    page(2, { device: 'me', path: 'local' }),
    page(3, { read: undefined, error: { code: 'x', kind: 'failed', message: '' } }),
  ];
  const ran = asRan({ ...entry, pages });
  expect([ran?.charge, ran?.device, ran?.units]).toEqual([37_500, 'me', 3]);
  expect(devicesOf({ ...entry, pages, ran })).toEqual(['me', 'ben']);
  expect(asRan({ ...entry, pages: [pages[2]!] })).toBeUndefined();
});

test('parts of a large job, and devices that tried it in vain, had it too; one that was not reached had not', () => {
  const attempts = [
    { device: 'cleo', attempt: 1, path: 'direct', code: 'engine.failed' },
    { device: 'dora', attempt: 2, code: 'transport.unreached' },
    { device: 'me', attempt: 3, path: 'local' },
  ];
  const parts = [{ job: 'a', device: 'ben', path: 'direct', charge: 1 }];
  const ran = { job: 'j', device: 'me', path: 'local' as const, charge: 1, units: 1, model: 'm', manifest: {}, attempts, parts };
  expect(devicesOf({ ...entry, mode: 'embeddings', ran })).toEqual(['me', 'ben', 'cleo']);
  expect(devicesOf(entry)).toEqual([]);
});
