/** Settings: what is kept about oneself, all of it as a file, and deleting the account: said before, a month to think again. */
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { Ask } from '../parts/Ask';
import { Button, Command, Failure, INPUT, LINK } from '../parts/controls';
import { credits, grouped, listed, moment } from '../parts/words';
import { ApiError, drop, get, post } from './api';
import { useMe } from './data';
import { Waiting } from './Frame';

type Left = {
  network: string;
  name: string;
  parting: 'leave' | 'end' | 'blocked';
  balance: number;
  pending: number;
  devices: string[];
};
type Kept = { table: string; rows: number; erased: number; pseudonymised: number; kept: number; why: string };
type Plan = { due_ms: number | null; operator: boolean; networks: Left[]; tables: Kept[] };

export function YourData() {
  const queries = useQueryClient();
  const me = useMe();
  const plan = useQuery({ queryKey: ['deletion'], queryFn: () => get<Plan>('/v1/me/deletion') });
  const [asking, setAsking] = useState(false);
  const [receipt, setReceipt] = useState('');
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<ApiError | null>(null);
  const again = () => Promise.all(['deletion', 'me', 'sessions'].map((key) => queries.invalidateQueries({ queryKey: [key] })));
  async function keep() {
    setBusy(true);
    setError(null);
    try {
      await drop('/v1/me/deletion');
      setReceipt('');
      await again();
    } catch (refused) {
      setError(refused as ApiError);
    }
    setBusy(false);
  }
  const why = plan.data && heldUp(plan.data);
  return (
    <section id="your-data" className="border-t border-line py-6">
      <h2 className="text-15 font-600">Your data</h2>
      <p className="mt-1 max-w-[62em] text-13 text-ink-2">
        What the coordinator keeps about you, in all networks. It never sees what your devices exchange.
      </p>
      <p className="mt-3">
        <a href="/v1/me/export" download="mesh-my-data.json" className={`text-14 ${LINK}`}>
          Download all of it
        </a>
      </p>
      {!!plan.error && <Waiting error={plan.error} what="What is kept" />}
      {plan.data && (
        <details className="mt-3">
          <summary className="cursor-pointer text-13 text-ink-2">Table by table, and what becomes of it if you go</summary>
          <Tables tables={plan.data.tables} />
        </details>
      )}
      {plan.data?.due_ms != null ? (
        <div className="mt-4 border-l-2 border-warn bg-warn-wash px-4 py-3 text-14" role="status">
          <p>
            <b>Your account goes on {moment(plan.data.due_ms)}.</b> Until then everything stays as it is. You are signed out everywhere else;
            signing in anywhere keeps the account, too.
          </p>
          {receipt && (
            <div className="mt-3 grid gap-2">
              <p className="text-13">Keep this. With it you can read afterwards what became of your data; it is shown this once.</p>
              <Command text={`mesh privacy status --receipt ${receipt}`} />
            </div>
          )}
          <p className="mt-3">
            <Button busy={busy && 'Keeping it…'} onClick={() => void keep()}>
              Keep my account
            </Button>
          </p>
        </div>
      ) : (
        plan.data && (
          <p className="mt-4 flex flex-wrap items-center gap-x-4 gap-y-2">
            <Button look="fail" disabled={!!why} onClick={() => setAsking(true)}>
              Delete my account…
            </Button>
            {why && <span className="max-w-[46em] text-13 text-ink-2">{why}</span>}
          </p>
        )
      )}
      {error && (
        <div className="mt-3">
          <Failure message={error.message} code={error.refused.code} />
        </div>
      )}
      {asking && plan.data && (
        <Delete
          plan={plan.data}
          name={me.data?.name ?? ''}
          close={() => setAsking(false)}
          done={async (given) => {
            setReceipt(given);
            await again();
          }}
        />
      )}
    </section>
  );
}

type DeleteProps = { plan: Plan; name: string; close: () => void; done: (receipt: string) => Promise<void> };

function Delete({ plan, name, close, done }: DeleteProps) {
  const [typed, setTyped] = useState('');
  return (
    <Ask
      title="Delete your account?"
      yes="Delete my account"
      no="Keep it"
      doing="Asking…"
      close={close}
      onYes={async () => done((await post<{ receipt: string }>('/v1/me/deletion', { name: typed })).receipt)}
    >
      It goes in 30 days. Until then nothing changes, but you are signed out everywhere else; signing in again anywhere, or a button
      here, keeps it. Then this happens, and nobody can take it back:
      {plan.networks.map((one) => (
        <span key={one.network} className="mt-2 block break-words">
          <b>{one.name}</b>: {leaving(one)}
        </span>
      ))}
      <span className="mt-2 block">The ledger keeps adding up for the others, under an id that names nobody.</span>
      <label className="mt-4 block">
        <span className="mb-1 block text-13 font-600">Type your name, {name}</span>
        <input value={typed} maxLength={200} onChange={(event) => setTyped(event.target.value)} className={INPUT} autoComplete="off" />
      </label>
    </Ask>
  );
}

function Tables({ tables }: { tables: Kept[] }) {
  return (
    <table className="mt-3 w-full max-w-[760px] text-left text-13">
      <thead className="text-12 text-ink-3">
        <tr>
          <th className="py-1 pr-4 font-400">Table</th>
          <th className="py-1 pr-4 text-right font-400">Rows</th>
          <th className="py-1 font-400">If you go</th>
        </tr>
      </thead>
      <tbody>
        {tables.map((one) => (
          <tr key={one.table} className="border-t border-line align-top">
            <td className="py-1.5 pr-4">
              <code>{one.table}</code>
            </td>
            <td className="py-1.5 pr-4 text-right">{grouped(one.rows)}</td>
            <td className="py-1.5">{fate(one)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function fate(one: Kept): string {
  if (one.erased === one.rows) return 'erased';
  return `${one.pseudonymised > 0 ? 'made anonymous' : 'kept'}: ${one.why}`;
}

/** Why an account cannot be deleted now, with what to do first; nothing where it can. */
export function heldUp(plan: Plan): string {
  if (plan.operator) return 'This installation is yours, and somebody has to run it. Hand it over first: mesh auth hand-over PERSON.';
  const stuck = plan.networks.filter((one) => one.parting === 'blocked').map((one) => one.name);
  return stuck.length ? `You are the only admin of ${listed(stuck)}. Make somebody else one first, on Members.` : '';
}

/** What going means in one network, as sentences. */
export function leaving(one: Left): string {
  const parts = [one.parting === 'end' ? 'ends, as nobody else is in it.' : 'you leave it.'];
  parts.push(settled(one.balance));
  if (one.pending > 0) parts.push(`${credits(one.pending)} that are pending are burnt when they come.`);
  if (one.devices.length) parts.push(`${listed(one.devices)} ${one.devices.length === 1 ? 'is' : 'are'} removed.`);
  return parts.filter(Boolean).join(' ');
}

/** What becomes of a balance that is left behind. */
export function settled(balance: number): string {
  if (balance > 0) return `${credits(balance)} credits are burnt.`;
  if (balance < 0) return `A debt of ${credits(-balance)} credits stays in the ledger until an admin closes it.`;
  return '';
}
