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
