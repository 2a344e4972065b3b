/** Speaking to the agent that served this page: one request, its answers line by line. */

export type Refused = { code: string; kind: string; message: string; facts?: Record<string, unknown> };

export class AgentError extends Error {
  constructor(readonly refused: Refused) {
    super(refused.message);
  }
}

export type Line = { a: string } & Record<string, unknown>;

const KEY = 'key';

/** Use the one-time secret of the address up, if there is one; the key lives as long as this tab. */
export async function openPage(): Promise<boolean> {
  const secret = location.hash.match(/^#open\.([\w-]{20,})$/)?.[1];
  if (secret) {
    history.replaceState(null, '', '/');
    const response = await fetch('/session', { method: 'POST', headers: JSON_TYPE, body: JSON.stringify({ secret }) });
    if (!response.ok) throw new AgentError((await response.json()).error);
    sessionStorage.setItem(KEY, (await response.json()).key);
  }
  return sessionStorage.getItem(KEY) !== null;
}

const JSON_TYPE = { 'content-type': 'application/json' };

function post(path: string, body: unknown, signal?: AbortSignal): Promise<Response> {
  const headers = { ...JSON_TYPE, authorization: `Bearer ${sessionStorage.getItem(KEY) ?? ''}` };
  return fetch(path, { method: 'POST', headers, body: JSON.stringify(body), signal }).catch((error: unknown) => {
    if (signal?.aborted) throw error;
    throw new AgentError({ code: 'agent.away', kind: 'unavailable', message: AWAY });
  });
}

const AWAY = 'The agent of this machine does not answer. Start it with mesh up, then open this page with mesh ui.';

export async function about(): Promise<About> {
  const response = await post('/about', {});
  if (!response.ok) throw new AgentError((await response.json()).error);
  return response.json();
}

/** Ask; every line goes to `heard`, the last one is returned. Throws AgentError with the agent's reason. */
export async function ask<T>(request: object, heard?: (line: Line) => void, signal?: AbortSignal): Promise<T> {
  const response = await post('/ask', request, signal);
  if (!response.ok || !response.body) throw new AgentError((await response.json()).error);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  let last: Line | undefined;
  for (;;) {
    const { done, value } = await reader.read();
    const lines = (rest + (value ?? '')).split('\n');
    rest = lines.pop() ?? '';
    for (const text of lines) {
      last = JSON.parse(text) as Line;
      heard?.(last);
    }
    if (done) break;
  }
  if (!last) throw new AgentError({ code: 'agent.away', kind: 'unavailable', message: AWAY });
  if (last.a === 'refusal') throw new AgentError(last.error as Refused);
  return last as unknown as T;
}

export type About = { network_name: string; dashboard: string; gateway: string | null; key_file: string; workloads: string[] };
export type Offer = {
  workload: string;
  model: string;
  units_per_s: number;
  cold_load_s?: number;
  warm?: boolean;
  memory_bytes?: number;
};
export type Capability = {
  system: string;
  arch: string;
  cores: number;
  memory_bytes: number;
  tier: number;
  gpus?: { name: string; memory_bytes: number }[];
  isolation?: string;
  offers?: Offer[];
};
export type Condition = {
  state?: string;
  load?: { depth?: number; work_s?: number };
  cpu_busy?: number;
  battery?: number;
  plugged_in?: boolean;
  contributes?: boolean;
};
export type Terms = {
  on?: boolean;
  hours?: { start: number; end: number }[];
  idle_below?: number;
  share?: number;
  jobs_max?: number;
  battery_min?: number;
  headroom_min?: number;
};
export type Status = {
  device: string;
  name: string;
  network: string;
  member: string;
  software: string;
  link: 'up' | 'down';
  condition: Condition;
  capability?: Capability;
  gateway?: string;
  jobs_running?: number;
  jobs_here?: number;
  outbox?: number;
  relay?: string;
  limit?: string;
  terms?: Terms;
  set_by?: string;
  notice?: string;
  wrong_models?: string[];
};
export type Peer = {
  device: string;
  name: string;
  owner: string;
  own: boolean;
  state?: string;
  path?: string;
  rtt_ms?: number;
  direct_bytes?: number;
  relayed_bytes?: number;
};
export type Ran = {
  job: string;
  device: string;
  path: 'local' | 'direct' | 'relayed';
  charge: number;
  units: number;
  model: string;
  manifest: Record<string, unknown>;
  blobs?: string[];
  attempts?: { device: string; attempt: number; path?: string; code?: string }[];
  parts?: { job: string; device: string; path: string; charge: number }[];
  explanation?: { would_change?: string[]; scores?: { device: string; total: number }[] };
};

export type Box = [number, number, number, number];
export type Word = { text: string; confidence: number; box: Box };
export type PageRead = {
  file: string;
  page: number;
  job: string;
  device?: string;
  path?: string;
  /** Left out where it is 0, as every field is that says nothing. */
  charge?: number;
  model: string;
  read?: { width: number; height: number; turned: number; text: string; lines: { box: Box; words: Word[] }[] };
  attempts?: Ran['attempts'];
  error?: Refused;
};
