/** What each page opens with: its state in words, from facts, with the parts that ask for something as links. Pure. */
import { capital, count, credits, listed } from '../parts/words';
import type { Account, Device, Job, Member } from './api';

/** A run of words; `to` names what a link leads to. */
export type Part = { text: string; to?: string };

export function plain(parts: Part[]): string {
  return parts.map((part) => part.text).join('');
}

export function devicesSentence(devices: Device[], working: Set<string>): Part[] {
  const here = devices.filter((one) => !['offline', 'pending', 'revoked'].includes(one.state));
  const waiting = devices.filter((one) => one.state === 'pending');
  if (devices.length === 0) return [{ text: 'No devices yet. The first one makes this network work.' }];
  if (devices.length === 1 && here.length === 1) return [{ text: 'One device so far. A second one makes it a network.' }];
  const busy = here.filter((one) => working.has(one.device)).length;
  const parts: Part[] = [];
  const noun = here.length === 1 ? 'device' : 'devices';
  parts.push({ text: `${capital(count(here.length))} ${noun} here, ${busy === 0 ? 'none' : count(busy)} at work.` });
  const clauses: Part[][] = [];
  if (waiting.length > 0 && waiting.length <= 2) {
    const verb = waiting.length === 1 ? ' waits for approval' : ' wait for approval';
    clauses.push([...links(waiting), { text: verb }]);
  } else if (waiting.length > 2) clauses.push([{ text: `${count(waiting.length)} devices wait for approval` }]);
  const copied = devices.filter((one) => one.held === 'copied');
  if (copied.length > 0) clauses.push([...links(copied.slice(0, 2)), { text: ' was copied' }]);
  const paused = here.filter((one) => one.state === 'paused');
  if (paused.length > 0 && paused.length <= 2 && clauses.length < 2) {
    clauses.push([...links(paused), { text: paused.length === 1 ? ' is paused' : ' are paused' }]);
  }
  clauses.slice(0, 2).forEach((clause, at) => {
    parts.push({ text: at === 0 ? ' ' : ', and ' });
    parts.push(...clause);
  });
  if (clauses.length > 0) parts.push({ text: '.' });
  return parts;
}

function links(devices: Device[]): Part[] {
  return devices.flatMap((one, at): Part[] => [...(at > 0 ? [{ text: ' and ' }] : []), { text: one.name, to: one.device }]);
}

export function membersSentence(members: Member[], invites: number, waiting = 0): string {
  const people = `${capital(count(members.length))} ${members.length === 1 ? 'person' : 'people'}`;
  if (waiting > 0) return `${people}, ${count(waiting)} ${waiting === 1 ? 'waits' : 'wait'} to be let in.`;
  if (invites === 0) return members.length === 1 ? 'Only you so far. Invite somebody you trust.' : `${people}, nobody invited.`;
  return `${people}, ${count(invites)} ${invites === 1 ? 'invite' : 'invites'} open.`;
}

export function jobsSentence(jobs: Job[], more: boolean): string {
  const running = jobs.filter((one) => one.state === 'running').length;
  const failed = jobs.filter((one) => one.state === 'failed').length;
  if (jobs.length === 0) return 'No jobs yet.';
  const shown = more ? `The newest ${jobs.length} jobs` : `${capital(count(jobs.length))} ${jobs.length === 1 ? 'job' : 'jobs'}`;
  return `${shown}: ${running ? `${count(running)} running, ` : ''}${failed === 0 ? 'none' : count(failed)} failed.`;
}

/** Balances as their owner sees them. */
export function ledgerSentence(accounts: Account[], me: string): string {
  const mine = accounts.filter((one) => one.member === me && one.kind === 'balance').reduce((sum, one) => sum + one.amount, 0);
  const own =
    mine === 0
      ? 'You owe nothing and are owed nothing.'
      : mine < 0
        ? `You owe the others ${credits(-mine)} credits.`
        : `The others owe you ${credits(mine)} credits.`;
  const sum = accounts.reduce((total, one) => total + one.amount, 0);
  if (accounts.every((one) => one.member === me)) return own;
  return `${own} Everyone’s balances add up to ${sum === 0 ? 'zero' : `${credits(sum)}, and should be zero`}.`;
}

/** How a list of names reads where it is long. */
export function some(names: string[], most = 3): string {
  return names.length <= most ? listed(names) : `${names.slice(0, most - 1).join(', ')} and ${count(names.length - most + 1)} more`;
}
