/** What a device is called, and calling it something else. */
import { useQueryClient } from '@tanstack/react-query';
import { type FormEvent, useEffect, useRef, useState } from 'react';
import { Button, Failure, Field, INPUT } from '../parts/controls';
import { useUndo } from '../parts/Undo';
import { ApiError, type Device, put } from './api';
import { useNetwork } from './data';

/** A field in place of the button that opened it; Escape leaves everything as it was. */
export function Rename({ device, close }: { device: Device; close: () => void }) {
  const network = useNetwork();
  const queries = useQueryClient();
  const undo = useUndo();
  const field = useRef<HTMLInputElement>(null);
  useEffect(() => field.current?.select(), []);
  const [name, setName] = useState(device.name);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<ApiError | null>(null);
  async function call(wanted: string) {
    await put(`/v1/networks/${network}/devices/${device.device}/name`, { name: wanted });
    await queries.invalidateQueries({ queryKey: ['picture'] });
  }
  async function save(event: FormEvent) {
    event.preventDefault();
    setBusy(true);
    setError(null);
    try {
      await call(name);
      if (name !== device.name) undo(`${device.name} is called ${name} now.`, () => call(device.name));
      close();
    } catch (refused) {
      setError(refused as ApiError);
      setBusy(false);
    }
  }
  return (
    <form className="mt-3" onSubmit={save} onKeyDown={(event) => event.key === 'Escape' && close()}>
      <Field label="Its name" hint="1 to 63 of a-z, 0-9 and hyphens inside; no other device here has it.">
        <input
          ref={field}
          required
          maxLength={63}
          pattern="[a-z0-9]([a-z0-9\-]*[a-z0-9])?"
          autoComplete="off"
          autoCapitalize="none"
          spellCheck={false}
          value={name}
          onChange={(event) => setName(event.target.value)}
          className={INPUT}
        />
      </Field>
      <div className="mt-3 flex flex-wrap gap-2">
        <Button look="primary" type="submit" busy={busy && 'Saving…'}>
          Save name
        </Button>
        <Button look="quiet" onClick={close}>
          Leave it
        </Button>
      </div>
      {error && (
        <div className="mt-3">
          <Failure message={error.message} code={error.refused.code} />
        </div>
      )}
    </form>
  );
}
