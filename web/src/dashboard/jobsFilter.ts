/** What the list of jobs is narrowed down to. It stands in the page's address, so that it can be sent and gone back to. */

export const OUTCOMES = [
  { value: 'all', label: 'all outcomes' },
  { value: 'running', label: 'running' },
  { value: 'done', label: 'done' },
  { value: 'failed', label: 'failed' },
] as const;
export type Outcome = (typeof OUTCOMES)[number]['value'];
export type JobsNarrowed = { outcome?: Outcome; workload?: string };

/** The filter in an address: what nobody could have picked is left out. */
export function jobsNarrowedOf(search: Record<string, unknown>): JobsNarrowed {
  const outcome = OUTCOMES.find((one) => one.value === search.outcome)?.value;
  const workload = typeof search.workload === 'string' && /^[a-z][a-z0-9-]{0,62}$/.test(search.workload) ? search.workload : undefined;
  return { ...(outcome && outcome !== 'all' ? { outcome } : {}), ...(workload && workload !== 'all' ? { workload } : {}) };
}
