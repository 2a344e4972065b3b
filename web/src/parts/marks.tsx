/** The small marks: a device's state, a path, the woven mark of Mesh itself. Always beside their word. */
import type { ReactNode } from 'react';
import { trip } from './words';

export type State = 'ready' | 'busy' | 'paused' | 'draining' | 'benched' | 'offline' | 'pending' | 'revoked' | 'relay';

/** What a state is called. */
export const STATE_WORDS: Record<State, string> = {
  ready: 'ready',
  busy: 'at work',
  paused: 'paused',
  draining: 'finishing, then stops',
  benched: 'does not answer',
  offline: 'away',
  pending: 'asks to join',
  revoked: 'removed',
  relay: 'relay',
};

const SHAPES: Record<State, ReactNode> = {
  ready: <circle cx="5.5" cy="5.5" r="4" className="fill-none stroke-ink" strokeWidth="1.6" />,
  busy: <circle cx="5.5" cy="5.5" r="4.8" className="fill-live-fill" />,
  paused: <path d="M3.2 1.5v8M7.8 1.5v8" className="stroke-ink-2" strokeWidth="1.8" />,
  draining: <path d="M1 2h9L5.5 9.8z" className="fill-none stroke-ink" strokeWidth="1.5" strokeLinejoin="round" />,
  benched: <path d="M5.5.8 10.6 9.8H.4z" className="fill-warn-fill stroke-warn" strokeWidth="1.2" strokeLinejoin="round" />,
  offline: <path d="M1.5 5.5h8" className="stroke-ink-3" strokeWidth="1.8" />,
  pending: (
    <circle cx="5.5" cy="5.5" r="4.2" className="fill-none stroke-warn" strokeWidth="1.8" strokeDasharray="1.6 1.7" />
  ),
  revoked: <path d="m2 2 7 7M9 2 2 9" className="stroke-fail" strokeWidth="1.8" />,
  relay: <path d="m5.5 1 4.5 4.5-4.5 4.5L1 5.5z" className="fill-none stroke-relay" strokeWidth="1.5" />,
};

/** 9 px drawing of a state. Its word stands nearby, so that it is decoration to a screen reader. */
export function Glyph({ state }: { state: State }) {
  return (
    <svg className="size-[11px] shrink-0 overflow-visible" viewBox="0 0 11 11" aria-hidden="true" focusable="false">
      {SHAPES[state]}
    </svg>
  );
}

/** How packets travel between two devices: a solid dash, dashes with a diamond, or nothing at all. */
export function PathMark({ path, ms }: { path: string | null | undefined; ms?: number | null }) {
  const time = ms === null || ms === undefined ? '' : ` ${trip(ms)}`;
  if (path === 'local') return <span className="text-ink-3">here</span>;
  if (path === 'relayed') {
    return (
      <span className="inline-flex items-center gap-2 text-relay">
        <svg className="h-[9px] w-[22px]" viewBox="0 0 22 9" aria-hidden="true">
          <path d="M0 4.5h4M18 4.5h4" className="stroke-relay" strokeWidth="1.6" />
          <path d="m11 .5 4 4-4 4-4-4z" className="fill-relay" />
        </svg>
        relayed{time}
      </span>
    );
  }
  if (path !== 'direct') return <span className="text-ink-3">no path yet</span>;
  return (
    <span className="inline-flex items-center gap-2 text-ink-2">
      <svg className="h-[9px] w-[22px]" viewBox="0 0 22 9" aria-hidden="true">
        <path d="M0 4.5h22" className="stroke-ink-3" strokeWidth="1.6" />
      </svg>
      direct{time}
    </span>
  );
}

/** Five threads, over and under. */
export function Mark() {
  return (
    <svg className="size-[18px] shrink-0" viewBox="0 0 18 18" aria-hidden="true">
      <path d="M1 4.5h16M1 9h16M1 13.5h16" strokeWidth="2.2" className="stroke-ink" />
      <path d="M6.3 2.8v3.4M6.3 11.8v3.4M11.7 7.3v3.4" strokeWidth="4.6" className="stroke-ground" />
      <path d="M6.3 1v7M6.3 10.2V17M11.7 1v2.4M11.7 5.8V17" strokeWidth="2" className="stroke-live" />
    </svg>
  );
}
