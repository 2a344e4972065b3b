/** The coordinator's HTTP API as this page uses it: the session is a cookie that no script can read. */

export type Refused = { code: string; kind: string; message: string; facts?: Record<string, unknown> };

export class ApiError extends Error {
  constructor(
    readonly refused: Refused,
    readonly status: number,
  ) {
    super(refused.message);
  }
}

const AWAY: Refused = {
  code: 'coordinator.unreachable',
  kind: 'unreachable',
  message: 'The coordinator does not answer. Devices go on with the permits they hold; this page tries again by itself.',
};

async function call<T>(method: string, path: string, body?: unknown): Promise<T> {
  const headers: Record<string, string> = {};
  if (method !== 'GET') headers['x-mesh-page'] = '1';
  if (method !== 'GET') headers['idempotency-key'] = crypto.randomUUID();
  if (body !== undefined) headers['content-type'] = 'application/json';
  const sent = { method, headers, body: body === undefined ? undefined : JSON.stringify(body) };
  const response = await fetch(path, sent).catch(() => {
    throw new ApiError(AWAY, 0);
  });
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new ApiError(answer.error ?? AWAY, response.status);
  return answer as T;
}

export const get = <T>(path: string) => call<T>('GET', path);
export const post = <T>(path: string, body: unknown = {}) => call<T>('POST', path, body);
export const put = <T>(path: string, body: unknown) => call<T>('PUT', path, body);
export const drop = <T>(path: string) => call<T>('DELETE', path);

export type Role = 'admin' | 'member' | 'guest';
export type Me = {
  member: string;
  name: string;
  operator: boolean;
  url: string;
  deletion_due_ms: number | null;
  networks: { network: string; name: string; role: Role }[];
  /** Where they wait for an admin, or were not let in. */
  asked: Asked[];
};
export type Asked = { network: string; name: string; role: Role; state: string; asked_ms: number; until_ms: number; why: string };
export type Change = { state: string; since_ms: number };
export type Offer = { workload: string; model: string; units_per_s?: number; warm?: boolean; cold_load_s?: number };
export type Device = {
  device: string;
  name: string;
  owner: string;
  state: 'pending' | 'ready' | 'busy' | 'paused' | 'draining' | 'offline' | 'revoked';
  history: Change[];
  key: string;
  tags: string[];
  held: string | null;
  ephemeral: boolean;
  joined_ms: number;
  last_seen_ms: number | null;
  certificate_until_ms: number | null;
  capability: null | {
    system: string;
    arch: string;
    cores: number;
    memory_bytes: number;
    tier: number;
    gpus?: { name: string; memory_bytes: number }[];
    phone?: boolean;
    isolation?: string;
    offers?: Offer[];
  };
  condition: {
    load?: { depth?: number; work_s?: number };
    cpu_busy?: number;
    battery?: number;
    plugged_in?: boolean;
    thermal_headroom?: number;
  };
  contributes: boolean;
  limit: string;
  /** To other devices, newest first, as far as one may know of them. */
  round_trips?: { device: string; rtt_ms: number; at_ms: number }[];
};
export type Stitch = {
  job: string | null;
  attempt: number;
  requester: string | null;
  member: string | null;
  worker: string;
  workload: string;
  units: number;
  path: string;
  code: string;
  started_ms: number;
  finished_ms: number | null;
};
export type Picture = { now_ms: number; since_ms: number; devices: Device[]; stitches: Stitch[] };
export type Member = { member: string; name: string; role: Role };
export type Attempt = {
  attempt: number;
  worker: string;
  state: string;
  pay: number;
  owed: number;
  units: number;
  how: string | null;
  code: string;
  path: string;
  started_ms: number | null;
  finished_ms: number | null;
};
export type Job = {
  job: string;
  requester: string;
  member: string;
  workload: string;
  model: string;
  sensitivity: string;
  state: string;
  device: string | null;
  own: boolean;
  units: number;
  charge: number;
  code: string;
  created_ms: number;
  finished_ms: number | null;
  attempts: Attempt[];
};
export type Why = {
  job: string;
  gates: { device: string; gate: string; passed: boolean; reason: string }[];
  scores: { device: string; terms: Record<string, number>; total: number }[];
  chosen: string | null;
  would_change: string[];
  attempts: Attempt[];
};
export type LedgerLine = {
  posting: string;
  time_ms: number;
  kind: string;
  account: string;
  member: string | null;
  amount: number;
  balance: number | null;
  counterparty: string | null;
  job: string | null;
  attempt: number | null;
  requester: string | null;
  worker: string | null;
  tariff_version: number | null;
  units: number | null;
  price_micro: number | null;
  price_per: number | null;
  reason?: string | null;
  approver?: string | null;
  sealed_number?: number | null;
};
export type Account = { kind: string; member: string | null; amount: number; held: number };
export type Token = {
  address?: string;
  letter?: string;
  token_id: string;
  purpose: string;
  state: string;
  uses: number;
  used: number;
  expires_ms: number;
  name: string;
};
export type Settings = {
  credit_line: string;
  weights: Record<string, number>;
  permits_per_member: number | null;
  approve_devices?: boolean;
  approve_people?: boolean;
  keep_jobs_days?: number;
  keep_decisions_days?: number;
  tariff?: { version: number; prices: { workload: string; price_micro: number; price_per: number }[]; since_ms?: number | null; fee_ppm?: number | null };
};
