/** A question before what cannot be undone: what will happen, what stays, and buttons that repeat the verb. */
import { AlertDialog } from '@base-ui/react/alert-dialog';
import { type ReactNode, useState } from 'react';
import { Button, Failure } from './controls';

type AskProps = {
  title: string;
  yes: string;
  no: string;
  doing: string;
  onYes: () => Promise<void>;
  close: () => void;
  children: ReactNode;
};

export function Ask({ title, yes, no, doing, onYes, close, children }: AskProps) {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState('');
  async function go() {
    setBusy(true);
    try {
      await onYes();
      close();
    } catch (refused) {
      setError(refused instanceof Error ? refused.message : String(refused));
      setBusy(false);
    }
  }
  return (
    <AlertDialog.Root open onOpenChange={(open) => !open && close()}>
      <AlertDialog.Portal>
        <AlertDialog.Backdrop className="fixed inset-0 z-30 bg-ink opacity-25" />
        <AlertDialog.Popup className="fixed top-1/3 left-1/2 z-30 w-[460px] max-w-[calc(100vw-32px)] -translate-x-1/2 -translate-y-1/3 rounded-10 border border-line bg-raised p-6 shadow-float">
          <AlertDialog.Title className="mb-2 text-19 font-600 break-words">{title}</AlertDialog.Title>
          <AlertDialog.Description className="mb-5 text-14 text-ink-2">{children}</AlertDialog.Description>
          {error && <Failure message={error} />}
          <div className="mt-4 flex flex-wrap justify-end gap-2">
            <Button onClick={close}>{no}</Button>
            <Button look="solid" busy={busy && doing} onClick={go}>
              {yes}
            </Button>
          </div>
        </AlertDialog.Popup>
      </AlertDialog.Portal>
    </AlertDialog.Root>
  );
}
