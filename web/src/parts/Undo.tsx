/** What was done at once can be taken back for a while: one line at the foot of the page, reached by Tab or by U. */
import { createContext, type ReactNode, useCallback, useContext, useEffect, useMemo, useRef, useState } from 'react';
import { Button } from './controls';

/** How long it is offered; while it is looked at (hovered or focused) the time stands still. */
export const OFFERED_MS = 8000;

type Offer = { said: string; undo: () => Promise<unknown>; number: number };
type Offers = (said: string, undo: () => Promise<unknown>) => void;

const Offering = createContext<Offers>(() => undefined);
/** Offer to take back what was just done: what happened, and what undoes it. */
export const useUndo = () => useContext(Offering);

export function Undoing({ children }: { children: ReactNode }) {
  const [offer, setOffer] = useState<Offer | null>(null);
  const numbers = useRef(0);
  const offering = useCallback<Offers>((said, undo) => {
    numbers.current += 1;
    setOffer({ said, undo, number: numbers.current });
  }, []);
  const close = useCallback(() => setOffer(null), []);
  const line = useMemo(() => offer && <Line key={offer.number} offer={offer} close={close} />, [offer, close]);
  return (
    <Offering.Provider value={offering}>
      {children}
      <div role="status" aria-live="polite" className="pointer-events-none fixed inset-x-0 bottom-[72px] z-30 flex justify-center px-4 wide:bottom-6">
        {line}
      </div>
    </Offering.Provider>
  );
}

function Line({ offer, close }: { offer: Offer; close: () => void }) {
  const [still, setStill] = useState(false);
  const [state, setState] = useState<'offered' | 'undoing' | 'undone' | 'failed'>('offered');
  const [why, setWhy] = useState('');
  const undo = useCallback(async () => {
    setState('undoing');
    try {
      await offer.undo();
      setState('undone');
    } catch (refused) {
      setWhy(refused instanceof Error ? refused.message : String(refused));
      setState('failed');
    }
  }, [offer]);
  useEffect(() => {
    if (still || state === 'undoing') return undefined;
    const timer = setTimeout(close, state === 'undone' ? 3000 : OFFERED_MS);
    return () => clearTimeout(timer);
  }, [still, state, close]);
  useEffect(() => {
    if (state !== 'offered') return undefined;
    const pressed = (event: KeyboardEvent) => {
      const typing = (event.target as HTMLElement).closest('input, textarea, select, [role=dialog], [role=alertdialog]');
      if (event.key !== 'u' || event.ctrlKey || event.metaKey || event.altKey || typing) return;
      event.preventDefault();
      void undo();
    };
    addEventListener('keydown', pressed);
    return () => removeEventListener('keydown', pressed);
  }, [state, undo]);
  return (
    <div
      className="pointer-events-auto flex max-w-full items-center gap-4 rounded-10 border border-line bg-raised py-2 pr-2 pl-4 text-14 shadow-float"
      onPointerEnter={() => setStill(true)}
      onPointerLeave={() => setStill(false)}
      onFocus={() => setStill(true)}
      onBlur={() => setStill(false)}
    >
      <span className="min-w-0 break-words">{state === 'undone' ? 'Taken back.' : state === 'failed' ? `That could not be taken back: ${why}` : offer.said}</span>
      {(state === 'offered' || state === 'undoing') && (
        <Button small busy={state === 'undoing' && 'Undoing…'} onClick={() => void undo()} title="Press U">
          Undo
        </Button>
      )}
    </div>
  );
}
