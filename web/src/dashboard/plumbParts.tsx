/** The upright of the ledger, and what hangs from it: where it stands, and how what is pending is drawn. */

/** Where the upright stands: at the same place for balances and lines. */
export const GRID = 'wider:grid wider:grid-cols-[minmax(0,1fr)_minmax(0,620px)] wider:gap-x-6';

export function Hatch() {
  return (
    <pattern id="pending" width="5" height="5" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">
      <path d="M0 0v5" className="stroke-edge" strokeWidth="2" />
    </pattern>
  );
}

/** The upright itself, through everything on the page. */
export function Upright() {
  return <span aria-hidden="true" className="pointer-events-none absolute inset-y-0 left-1/2 w-px wider:-inset-y-3 -translate-x-1/2 bg-ink" />;
}

export function Bob() {
  return (
    <div aria-hidden="true" className={GRID}>
      <span className="max-wider:hidden" />
      <svg width="100%" height="34" className="overflow-visible">
        <svg x="50%" className="overflow-visible">
          <path d="M0 0v14" className="stroke-ink" />
          <path d="M-4 14h8v5l-4 10-4-10z" className="fill-ink" />
        </svg>
      </svg>
    </div>
  );
}
