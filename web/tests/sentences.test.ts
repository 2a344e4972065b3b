/** What pages open with: right in number, and with links where something is asked of the reader. */
import { expect, test } from 'vitest';
import type { Device } from '../src/dashboard/api';
import { devicesSentence, ledgerSentence, membersSentence, plain } from '../src/dashboard/sentences';
import { credits, span, units } from '../src/parts/words';

function device(name: string, state: Device['state']): Device {
  return {
    device: name,
    name,
    owner: 'ada',
    state,
    history: [],
    key: '',
    tags: [],
    held: null,
    ephemeral: false,
    joined_ms: 0,
    last_seen_ms: null,
    certificate_until_ms: null,
    capability: null,
    condition: {},
    contributes: true,
    limit: '',
  };
}

test.each([
  [[], 'No devices yet. The first one makes this network work.'],
  [[device('lumen', 'ready')], 'One device so far. A second one makes it a network.'],
  [[device('a', 'ready'), device('b', 'offline')], 'One device here, none at work.'],
  [[device('a', 'ready'), device('b', 'ready'), device('mei-tab', 'pending')], 'Two devices here, none at work. mei-tab waits for approval.'],
  [
    [device('a', 'ready'), device('b', 'paused'), device('x', 'pending'), device('y', 'pending')],
    'Two devices here, none at work. x and y wait for approval, and b is paused.',
  ],
])('devices %#', (devices, said) => {
  expect(plain(devicesSentence(devices, new Set()))).toBe(said);
});

test('who works is counted, and what asks for something is a link', () => {
  const parts = devicesSentence([device('a', 'ready'), device('b', 'ready'), device('c', 'pending')], new Set(['a']));
  expect(plain(parts)).toContain('Two devices here, one at work.');
  expect(parts.filter((part) => part.to).map((part) => part.to)).toEqual(['c']);
});

test('ledger and members', () => {
  const accounts = [
    { kind: 'balance', member: 'ada', amount: -48_200_000, held: 0 },
    { kind: 'balance', member: 'noor', amount: 48_200_000, held: 0 },
  ];
  expect(ledgerSentence(accounts, 'ada')).toBe('You owe the others 48.20 credits. Everyone’s balances add up to zero.');
  expect(ledgerSentence(accounts, 'noor')).toContain('The others owe you 48.20 credits.');
  expect(membersSentence([{ member: 'a', name: 'Ada', role: 'admin' }], 0)).toBe('Only you so far. Invite somebody you trust.');
  expect(membersSentence([{ member: 'a', name: 'Ada', role: 'admin' }], 1, 2)).toBe('One person, two wait to be let in.');
});

test('numbers', () => {
  expect(credits(-12_400_000)).toBe('−12.40');
  expect(credits(67)).toBe('0.000067');
  expect([span(0.014), span(0.61), span(9.96), span(26.4), span(180)].map((text) => text.replace(/\s/g, ' '))).toEqual(['14 ms', '0.61 s', '10 s', '26 s', '3 min']);
  expect(units('ocr', 1).replace(/\s/g, ' ')).toBe('1 page');
});
