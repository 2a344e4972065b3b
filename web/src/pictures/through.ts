/** The through-line: each candidate's line runs through the gates; those that come through lie on one ruler, 0 to 1. */

export const GATES = ['member', 'policy', 'needs', 'state', 'trust', 'credits'] as const;
export type Gate = (typeof GATES)[number];
export const TERMS = ['seconds', 'rtt', 'plugged', 'thermal', 'idle', 'cost'] as const;
export type Term = (typeof TERMS)[number];

/** What a term is called. */
export const TERM_WORDS: Record<Term, string> = {
  seconds: 'first result',
  rtt: 'round trip',
  plugged: 'power',
  thermal: 'cool',
  idle: 'idle',
  cost: 'cost',
};

/** Which of the six gates a finer one of the coordinator stands at. */
const AT: Record<string, Gate> = {
  member: 'member',
  policy: 'policy',
  model: 'needs',
  tier: 'needs',
  gpu: 'needs',
  memory: 'needs',
  tags: 'needs',
  latency: 'needs',
  routing: 'needs',
  state: 'state',
  tried: 'state',
  contribution: 'state',
  load: 'state',
  apart: 'trust',
  isolation: 'trust',
  cost: 'credits',
  credit: 'credits',
  permits: 'credits',
};

export type Candidate = {
  id: string;
  failed: { gate: string; reason: string }[];
  score: { terms: Record<string, number>; total: number } | null;
  chosen: boolean;
};

export type Segment = { term: Term; x1: number; x2: number; points: number };
export type Row = {
  id: string;
  y: number;
  /** Where its line ends: at a shut gate, or at the ruler. */
  end: number;
  shut: { gate: Gate; x: number; reason: string; own: boolean } | null;
  segments: Segment[];
  total: string | null;
  chosen: boolean;
};
export type Marks = {
  height: number;
  gates: { gate: Gate; x: number }[];
  ruler: { x1: number; x2: number; ticks: { x: number; label: string }[] } | null;
  rows: Row[];
  /** The winner's end: what others had to beat. */
  beat: { x: number; label: string } | null;
};

export type Box = { width: number; names: number; gates: number; totals: number; row: number; top: number };

export function gateOf(name: string): Gate {
  return AT[name] ?? 'needs';
}

export function through(candidates: Candidate[], box: Box): Marks {
  const gatesFrom = box.names;
  const step = box.gates / GATES.length;
  const gates = GATES.map((gate, at) => ({ gate, x: gatesFrom + step * (at + 0.5) }));
  const from = gatesFrom + box.gates;
  const to = box.width - box.totals;
  const scored = candidates.filter((one) => one.score).sort((a, b) => Number(b.chosen) - Number(a.chosen) || b.score!.total - a.score!.total);
  const stopped = candidates.filter((one) => !one.score).sort((a, b) => order(b) - order(a));
  const rows = [...scored, ...stopped].map((one, at): Row => {
    const y = box.top + box.row * (at + 0.5);
    const first = one.score ? undefined : firstShut(one);
    const x = first ? gates[GATES.indexOf(first.gate)]!.x : from;
    return {
      id: one.id,
      y,
      end: x,
      shut: first ? { ...first, x } : null,
      segments: one.score ? laid(one.score.terms, from, to) : [],
      total: one.score ? one.score.total.toFixed(3) : null,
      chosen: one.chosen,
    };
  });
  const winner = rows.find((row) => row.chosen && row.segments.length > 0);
  return {
    height: box.top + box.row * Math.max(rows.length, 1),
    gates,
    ruler: scored.length
      ? { x1: from, x2: to, ticks: [0, 0.25, 0.5, 0.75, 1].map((part) => ({ x: from + (to - from) * part, label: String(part) })) }
      : null,
    rows,
    beat: winner && scored.length > 1 ? { x: winner.segments.at(-1)!.x2, label: `${winner.total} to beat` } : null,
  };
}

function firstShut(one: Candidate): { gate: Gate; reason: string; own: boolean } {
  const failed = [...one.failed].sort((a, b) => GATES.indexOf(gateOf(a.gate)) - GATES.indexOf(gateOf(b.gate)))[0];
  if (!failed) return { gate: 'state', reason: 'state: nothing is known of it any more', own: false };
  const gate = gateOf(failed.gate);
  const finer = failed.gate === gate ? '' : `${failed.gate}: `;
  return { gate, reason: `${gate}: ${finer}${failed.reason || 'no'}`, own: failed.gate === 'tried' };
}

/** Those that came furthest first: they are the nearest to having done it. */
function order(one: Candidate): number {
  return GATES.indexOf(firstShut(one).gate) - one.failed.length / 100;
}

function laid(terms: Record<string, number>, from: number, to: number): Segment[] {
  let sum = 0;
  return TERMS.map((term) => {
    const points = terms[term] ?? 0;
    const x1 = from + (to - from) * sum;
    sum += points;
    return { term, x1, x2: from + (to - from) * sum, points };
  });
}

/** Terms in three decimals that add up to the total in three decimals: what was cut most is rounded up first. */
export function rounded(terms: Record<string, number>, total: number): Record<Term, number> {
  const whole = Math.round(total * 1000);
  const parts = TERMS.map((term) => ({ term, exact: (terms[term] ?? 0) * 1000, down: Math.floor((terms[term] ?? 0) * 1000 + 1e-9) }));
  let left = whole - parts.reduce((sum, part) => sum + part.down, 0);
  for (const part of [...parts].sort((a, b) => b.exact - b.down - (a.exact - a.down))) {
    if (left <= 0) break;
    part.down += 1;
    left -= 1;
  }
  return Object.fromEntries(parts.map((part) => [part.term, part.down / 1000])) as Record<Term, number>;
}
