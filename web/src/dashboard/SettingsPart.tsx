/** A part of the settings, and how one changes a network's settings. */
import { useQueryClient } from '@tanstack/react-query';
import { type ReactNode, useState } from 'react';
import { Failure } from '../parts/controls';
import { useUndo } from '../parts/Undo';
import { ApiError, put } from './api';
import { useNetwork } from './data';

export function Part({ title, about, children }: { title: string; about?: string; children: ReactNode }) {
  return (
    <section className="border-t border-line py-6">
      <h2 className="text-15 font-600">{title}</h2>
      {about && <p className="mt-1 max-w-[62em] text-13 text-ink-2">{about}</p>}
      <div className="mt-3">{children}</div>
    </section>
  );
}

export function useChange() {
  const network = useNetwork();
  const queries = useQueryClient();
  const [error, setError] = useState<ApiError | null>(null);
  const [busy, setBusy] = useState(false);
  const undo = useUndo();
  async function save(body: object) {
    await put(`/v1/networks/${network}/settings`, body);
    await queries.invalidateQueries({ queryKey: ['settings'] });
  }
  /** Save at once, and offer to put back what it was: `before`, in the same form. */
  async function change(body: object, said: string, before: object) {
    setBusy(true);
    setError(null);
    try {
      await save(body);
      undo(said, () => save(before));
    } catch (refused) {
      setError(refused as ApiError);
    }
    setBusy(false);
  }
  const failure = error && (
    <div className="mt-3">
      <Failure message={error.message} code={error.refused.code} />
    </div>
  );
  return { change, failure, busy };
}
