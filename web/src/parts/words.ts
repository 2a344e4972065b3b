/** Numbers, spans and lists as people read them. Everything shown as a quantity goes through here. */

const THIN = '\u00a0';
const SMALL = ['no', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine', 'ten', 'eleven', 'twelve'];

/** A count as a word up to twelve, else in digits. */
export function count(number: number): string {
  return SMALL[number] ?? grouped(number);
}

/** Digits in groups: 18,203. */
export function grouped(number: number): string {
  return Math.round(number).toLocaleString('en-US');
}

/** `1 device`, `3 devices`. */
export function many(number: number, one: string, more = `${one}s`): string {
  return `${grouped(number)}${THIN}${number === 1 ? one : more}`;
}

export function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** Micro-credits as credits with two decimals; below one credit with as many as it takes to say something. */
export function credits(micro: number): string {
  const sign = micro < 0 ? '−' : '';
  const size = Math.abs(micro) / 1e6;
  const places = size >= 1 ? 2 : size >= 0.001 ? 4 : 6;
  return sign + size.toLocaleString('en-US', { minimumFractionDigits: 2, maximumFractionDigits: places });
}

/** The same with its sign always shown. */
export function signed(micro: number): string {
  return micro > 0 ? `+${credits(micro)}` : credits(micro);
}

/** A span of seconds in the unit that fits: 14 ms, 0.61 s, 26 s, 3 min, 2 h, 5 d. */
export function span(seconds: number): string {
  if (seconds < 0.0995) return `${Math.round(seconds * 1000)}${THIN}ms`;
  if (seconds < 0.995) return `${seconds.toFixed(2)}${THIN}s`;
  if (seconds < 9.95) return `${seconds.toFixed(1)}${THIN}s`;
  if (seconds < 120) return `${Math.round(seconds)}${THIN}s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)}${THIN}min`;
  if (seconds < 172800) return `${Math.round(seconds / 3600)}${THIN}h`;
  return `${Math.round(seconds / 86400)}${THIN}d`;
}

/** A round trip: 2.8 ms, 48 ms. */
export function trip(ms: number): string {
  return ms < 9.95 ? `${ms.toFixed(1)}${THIN}ms` : `${Math.round(ms)}${THIN}ms`;
}

export function percent(share: number): string {
  return `${Math.round(share * 100)}${THIN}%`;
}

export function bytes(number: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let size = number;
  let at = 0;
  while (size >= 999.5 && at < units.length - 1) {
    size /= 1000;
    at += 1;
  }
  return `${size < 9.95 && at > 0 ? size.toFixed(1) : Math.round(size)}${THIN}${units[at]}`;
}

/** The clock time of a moment: 14:32:07. */
export function clock(ms: number): string {
  return new Date(ms).toLocaleTimeString('en-GB');
}

/** A moment with its day, where that is not today. */
export function moment(ms: number, now = Date.now()): string {
  const date = new Date(ms);
  if (date.toDateString() === new Date(now).toDateString()) return clock(ms);
  const year = date.getFullYear() === new Date(now).getFullYear() ? undefined : 'numeric';
  return `${date.toLocaleDateString('en-GB', { day: 'numeric', month: 'short', year })}, ${clock(ms).slice(0, 5)}`;
}

/** `a`, `a and b`, `a, b and c`. */
export function listed(parts: string[]): string {
  if (parts.length < 2) return parts[0] ?? '';
  return `${parts.slice(0, -1).join(', ')} and ${parts.at(-1)}`;
}

const SHORT: Record<string, string> = { embeddings: 'embed', transcribe: 'audio' };

/** What a bar says of its job. */
export function label(workload: string): string {
  return SHORT[workload] ?? workload;
}

/** Units as they are counted: `31 pages`, `4.1 kB`. */
export function units(workload: string, number: number): string {
  if (workload === 'ocr') return many(number, 'page');
  return workload === 'transcribe' ? span(number) : bytes(number);
}

/** What was done, for a sentence: `read 31 pages`, `embedded 4.1 kB of text`. */
export function deed(workload: string, number: number): string {
  const counted = units(workload, number);
  if (workload === 'ocr') return `read ${counted}`;
  if (workload === 'embeddings') return `embedded ${counted} of text`;
  if (workload === 'chat') return `answered a chat of ${counted}`;
  return workload === 'transcribe' ? `transcribed ${counted} of audio` : `did ${counted} of ${workload}`;
}

/** How fast a device does a workload, as it measured itself. */
export function speed(workload: string, unitsPerS: number): string {
  if (workload === 'ocr') return `${unitsPerS.toFixed(1)} pages/s`;
  return workload === 'transcribe' ? `${unitsPerS.toFixed(1)} × live` : `${bytes(unitsPerS)}/s`;
}

const SYSTEMS: Record<string, string> = { linux: 'Linux', darwin: 'macOS', windows: 'Windows', android: 'Android', ios: 'iOS' };

export function system(name: string): string {
  return SYSTEMS[name.toLowerCase()] ?? name;
}
