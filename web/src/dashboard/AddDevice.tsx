/** Adding a device: a link to paste there, the same as a code to scan, or a code that the machine itself shows. */
import { Dialog } from '@base-ui/react/dialog';
import { type FormEvent, useState } from 'react';
import { Button, Command, Failure, Field, INPUT } from '../parts/controls';
import { Qr } from '../parts/Qr';
import { moment } from '../parts/words';
import { ApiError, post } from './api';
import { useMe, useNetwork } from './data';

type Machine = {
  name: string;
  machine: string;
  key: string;
  fingerprint: string;
  address: string | null;
  elsewhere: boolean;
  asked_ms: number;
  state: string;
};

export function AddDevice({ close }: { close: () => void }) {
  return (
    <Dialog.Root open onOpenChange={(open) => !open && close()}>
      <Dialog.Portal>
        <Dialog.Backdrop className="fixed inset-0 z-30 bg-ink opacity-25" />
        <Dialog.Popup className="fixed top-0 right-0 z-30 h-full w-full overflow-auto border-l border-line bg-raised p-6 shadow-float wide:w-[460px]">
          <Dialog.Close aria-label="Close" className="float-right grid size-[28px] place-items-center text-19 text-ink-2 pointer-coarse:size-[44px]">
            ×
          </Dialog.Close>
          <Dialog.Title className="mb-5 text-19 font-600">Add a device</Dialog.Title>
          <ByLink />
          <ByCode />
        </Dialog.Popup>
      </Dialog.Portal>
    </Dialog.Root>
  );
}

function ByLink() {
  const network = useNetwork();
  const local = /^https?:\/\/(127\.|localhost|\[::1\])/.test(useMe().data?.url ?? '');
  const [uses, setUses] = useState('1');
  const [life, setLife] = useState('3600');
  const [link, setLink] = useState('');
  const [error, setError] = useState<ApiError | null>(null);
  const [busy, setBusy] = useState(false);
  async function make(event: FormEvent) {
    event.preventDefault();
    setBusy(true);
    setError(null);
    try {
      const body = { purpose: 'device', uses: Number(uses), expires_s: Number(life) };
      setLink((await post<{ link: string }>(`/v1/networks/${network}/tokens`, body)).link);
    } catch (refused) {
      setError(refused as ApiError);
    }
    setBusy(false);
  }
  return (
    <section className="mb-7">
      <h3 className="mb-1 text-15 font-600">With a link</h3>
      <p className="mb-3 text-13 text-ink-2">
        Install Mesh on that machine, then paste this there. Who holds the link can use it: pass it on only to the machine it is for.
      </p>
      {!link && (
        <form onSubmit={make} className="grid grid-cols-2 gap-3">
          <Field label="Good for">
            <select value={life} onChange={(event) => setLife(event.target.value)} className={INPUT}>
              <option value="3600">an hour</option>
              <option value="86400">a day</option>
              <option value="604800">a week</option>
            </select>
          </Field>
          <Field label="Machines">
            <input type="number" min="1" max="100" value={uses} onChange={(event) => setUses(event.target.value)} className={INPUT} />
          </Field>
          <Button look="primary" type="submit" busy={busy && 'Making…'} className="col-span-2 justify-self-start">
            Make a link
          </Button>
        </form>
      )}
      {error && <Failure message={error.message} code={error.refused.code} />}
      {link && (
        <div className="grid gap-3">
          <Command text={`mesh device join '${link}' --name NAME`} />
          <Command text="mesh up" />
          <Qr text={link} />
          {local && (
            <p className="border-l-2 border-warn bg-warn-wash px-3 py-2 text-13">
              The coordinator is reachable from this machine alone, so elsewhere this link leads nowhere. Start it with{' '}
              <code>mesh up --host 0.0.0.0</code> and make a new one.
            </p>
          )}
          <p className="text-12 text-ink-3">Shown this once. Its line appears in the picture as soon as the machine has joined.</p>
        </div>
      )}
    </section>
  );
}

function ByCode() {
  const network = useNetwork();
  const [code, setCode] = useState('');
  const [machine, setMachine] = useState<Machine | null>(null);
  const [done, setDone] = useState('');
  const [error, setError] = useState<ApiError | null>(null);
  async function attempt(work: () => Promise<void>) {
    setError(null);
    try {
      await work();
    } catch (refused) {
      setError(refused as ApiError);
    }
  }
  const path = (verb: string) => `/v1/networks/${network}/pairings/${verb}`;
  const look = () => attempt(async () => setMachine(await post<Machine>(path('look'), { code })));
  const confirm = () =>
    attempt(async () => {
      await post(path('confirm'), { code, key: machine!.key, elsewhere: machine!.elsewhere });
      setDone(`${machine!.name} may join${machine!.state === 'pending' ? ', and then waits for an admin' : ''}.`);
      setMachine(null);
    });
  const refuse = () =>
    attempt(async () => {
      await post(path('refuse'), { code });
      setDone(`${machine!.name} was told no.`);
      setMachine(null);
    });
  return (
    <section className="border-t border-line pt-6">
      <h3 className="mb-1 text-15 font-600">With the code that it shows</h3>
      <p className="mb-3 text-13 text-ink-2">A machine without a link shows a code. Type it here, and look at what asks before you say yes.</p>
      {done && (
        <p role="status" className="mb-3 text-14">
          {done}
        </p>
      )}
      {!machine && (
        <form
          className="flex gap-2"
          onSubmit={(event) => {
            event.preventDefault();
            void look();
          }}
        >
          <input aria-label="Code" required value={code} maxLength={64} onChange={(event) => setCode(event.target.value)} className={INPUT} />
          <Button type="submit">Look</Button>
        </form>
      )}
      {machine && (
        <div className="grid gap-2 text-13">
          <p>
            <b>{machine.name}</b>
            {machine.machine && `, ${machine.machine}`}, asked {moment(machine.asked_ms)}
            {machine.address && ` from ${machine.address}`}.
          </p>
          {machine.elsewhere && (
            <p className="border-l-2 border-warn bg-warn-wash px-3 py-2">It is not behind the same address as you, or that cannot be told. Is it really the one in front of you?</p>
          )}
          <p className="text-ink-2">
            Its key: <code className="break-all select-all">{machine.fingerprint}</code>
          </p>
          <div className="flex gap-2">
            <Button look="primary" onClick={confirm}>
              Let it in
            </Button>
            <Button look="fail" onClick={refuse}>
              Refuse
            </Button>
          </div>
        </div>
      )}
      {error && (
        <div className="mt-3">
          <Failure message={error.message} code={error.refused.code} />
        </div>
      )}
    </section>
  );
}
