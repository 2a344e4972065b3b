/** What was tried in this tab: kept here as long as the tab lives, and nowhere else. */
import type { PageRead, Ran, Refused } from './client';

export type Mode = 'chat' | 'ocr' | 'embeddings';

export type Entry = {
  id: number;
  mode: Mode;
  title: string;
  texts: string[];
  picture?: string;
  started: number;
  ended?: number;
  first?: number;
  text: string;
  stage?: string;
  fraction?: number;
  begun?: { device: string; path: string; model: string };
  ran?: Ran;
  pages?: PageRead[];
  error?: Refused;
  stopped?: boolean;
};

export const MODES: { id: Mode; label: string; hint: string }[] = [
  { id: 'chat', label: 'Ask', hint: 'Ask something' },
  { id: 'ocr', label: 'Read', hint: 'Drop a page here, or choose one' },
  { id: 'embeddings', label: 'Compare', hint: 'Texts to compare, one per line' },
];

/** A document's pages are jobs of their own: the entry shows the last one's place, and what all cost. */
export function asRan(entry: Entry): Ran | undefined {
  const last = entry.pages?.findLast((page) => page.read);
  if (!last) return undefined;
  return {
    job: last.job,
    device: last.device ?? '',
    path: (last.path ?? 'local') as Ran['path'],
    charge: entry.pages!.reduce((sum, page) => sum + (page.charge ?? 0), 0),
    units: entry.pages!.length,
    model: last.model,
    manifest: {},
    attempts: last.attempts,
  };
}

/** Every device that had any of it, the one that is shown first: of all pages and parts, and those that tried it in vain. */
export function devicesOf(entry: Entry): string[] {
  const shown = entry.ran?.device ?? entry.begun?.device;
  const jobs = [...(entry.pages ?? []), ...(entry.ran ? [entry.ran] : [])];
  const tried = jobs.flatMap((job) => (job.attempts ?? []).filter((one) => one.path).map((one) => one.device));
  const parts = (entry.ran?.parts ?? []).map((part) => part.device);
  const all = [shown, ...jobs.map((job) => job.device), ...parts, ...tried];
  return [...new Set(all)].filter((device) => device !== undefined && device !== '') as string[];
}
