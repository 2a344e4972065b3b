import { expect, test } from 'vitest';
import { found, type Thing } from '../src/pictures/find';

const things: Thing[] = [
  { kind: 'page', id: '/n/$network/ledger', name: 'Ledger', more: '' },
  { kind: 'device', id: 'D1', name: 'old-lumen', more: 'Zoë attic' },
  { kind: 'device', id: 'D2', name: 'lumen', more: 'Ann' },
  { kind: 'person', id: 'M1', name: 'Zoë', more: 'admin' },
  { kind: 'job', id: '01ABCDEF', name: 'embeddings 3 kB', more: 'lumen → studio' },
];
const names = (typed: string) => found(things, typed).map((one) => one.name);

test('the exact name comes first, then beginnings, then the rest', () => {
  expect(names('lumen')).toEqual(['lumen', 'old-lumen', 'embeddings 3 kB']);
});

test('case and accents do not matter, and words may come in any order', () => {
  expect(names('ZOE')).toEqual(['Zoë', 'old-lumen']);
  expect(names('attic lum')).toEqual(['old-lumen']);
});

test('a job is found by its id, nothing by what is nowhere, everything by nothing', () => {
  expect(names('01abc')).toEqual(['embeddings 3 kB']);
  expect(names('xyz')).toEqual([]);
  expect(names('  ')).toHaveLength(things.length);
});

test('what was typed is never a pattern', () => {
  for (const typed of ['.*', '(', '[', '\\', "' or 1=1 --", '<img src=x onerror=alert(1)>', '\u202e']) expect(names(typed)).toEqual([]);
});
