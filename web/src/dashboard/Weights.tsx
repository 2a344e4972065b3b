/** What placement weighs: six sliders that always sum to one, and what the newest decisions would be with them. */
import { useState } from 'react';
import { Button } from '../parts/controls';
import { TERM_WORDS, TERMS, type Term } from '../pictures/through';
import { Replayed } from './Replayed';
import { Part, useChange } from './SettingsPart';

/** Six sliders that always sum to one: what one gains, the others give in their proportions. */
export function shifted(weights: Record<Term, number>, term: Term, value: number): Record<Term, number> {
  const next = Math.min(1, Math.max(0, value));
  const others = TERMS.filter((one) => one !== term);
  const sum = others.reduce((all, one) => all + weights[one], 0);
  const left = 1 - next;
  const found = { ...weights, [term]: next };
  for (const one of others) found[one] = sum > 0 ? (weights[one] / sum) * left : left / others.length;
  return found;
}

/** In thousandths, and their sum still one: what rounding leaves goes to the largest. */
export function rounded(weights: Record<Term, number>): Record<Term, number> {
  const found = Object.fromEntries(TERMS.map((term) => [term, Math.round(weights[term] * 1000)])) as Record<Term, number>;
  const largest = TERMS.reduce((one, other) => (found[other] > found[one] ? other : one));
  found[largest] += 1000 - TERMS.reduce((sum, term) => sum + found[term], 0);
  for (const term of TERMS) found[term] /= 1000;
  return found;
}

export function Weights({ weights, admin }: { weights: Record<string, number>; admin: boolean }) {
  const { change, failure, busy } = useChange();
  const [draft, setDraft] = useState(weights as Record<Term, number>);
  const same = TERMS.every((term) => Math.abs(draft[term] - (weights[term] ?? 0)) < 0.0005);
  return (
    <Part title="Weights" about="What decides between devices that may all do a job. The six always sum to one.">
      <div className="grid grid-cols-[110px_minmax(0,1fr)_56px] items-center gap-x-4 gap-y-2 text-13">
        {TERMS.map((term) => (
          <label key={term} className="contents">
            <span>{TERM_WORDS[term]}</span>
            <input
              type="range"
              min="0"
              max="1"
              step="0.005"
              disabled={!admin}
              value={draft[term]}
              onChange={(event) => setDraft(shifted(draft, term, Number(event.target.value)))}
              className="h-[24px] w-full accent-ink"
            />
            <span className="text-right">{draft[term].toFixed(3)}</span>
          </label>
        ))}
      </div>
      {admin && !same && <Replayed weights={rounded(draft)} />}
      {admin && !same && (
        <div className="mt-3 flex gap-2">
          <Button look="primary" busy={busy && 'Saving…'} onClick={() => void change({ weights: rounded(draft) }, 'The weights are saved.', { weights })}>
            Save weights
          </Button>
          <Button look="quiet" onClick={() => setDraft(weights as Record<Term, number>)}>
            Discard
          </Button>
        </div>
      )}
      {failure}
    </Part>
  );
}
