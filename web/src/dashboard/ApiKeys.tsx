/** API keys: what programs may do here in one's name. Made with the secret shown once, listed without, revoked. */
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { type FormEvent, useState } from 'react';
import { Ask } from '../parts/Ask';
import { Button, Command, Failure, Field, INPUT } from '../parts/controls';
import { moment } from '../parts/words';
import { ApiError, drop, get, post } from './api';
import { useMe, useNames, useNetwork } from './data';
import { Waiting } from './Frame';
import { Part } from './SettingsPart';

type Key = { key_id: string; name: string; member: string; scopes: string[]; state: string; created_ms: number; expires_ms: number; used_ms?: number | null };

const SCOPES: readonly { scope: string; may: string; admin?: boolean }[] = [
  { scope: 'read', may: 'read what you may read' },
  { scope: 'jobs.run', may: 'give up jobs of yours' },
  { scope: 'devices.invite', may: 'invite devices' },
  { scope: 'devices.steer_own', may: 'pause, drain and name your devices' },
  { scope: 'devices.approve', may: 'let devices in', admin: true },
  { scope: 'members.approve', may: 'let people in who wait', admin: true },
  { scope: 'members.invite', may: 'invite people', admin: true },
];
const LIVES = [
  { value: '2592000', label: '30 days' },
  { value: '7776000', label: '90 days' },
  { value: '31536000', label: '1 year' },
];

export function ApiKeys({ admin }: { admin: boolean }) {
  const network = useNetwork();
  const me = useMe();
  const names = useNames();
  const queries = useQueryClient();
  const [asking, setAsking] = useState<Key | null>(null);
  const keys = useQuery({ queryKey: ['keys', network], queryFn: async () => (await get<{ keys: Key[] }>(`/v1/networks/${network}/keys`)).keys });
  return (
    <Part title="API keys" about="For programs: a key may do what it names, in this network alone, and never more than you may.">
      {!keys.data && <Waiting error={keys.error} what="The keys" />}
      {keys.data?.length === 0 && <p className="text-13 text-ink-2">There are none.</p>}
      <ul>
        {keys.data?.map((one) => (
          <li key={one.key_id} className="flex items-center gap-4 border-b border-line py-2 text-13">
            <span className="min-w-0 flex-1 break-words">
              {one.name} {one.member !== me.data?.member && <span className="text-ink-3">of {names.person(one.member)}</span>}
              <span className="block text-12 text-ink-3">
                {one.scopes.join(', ')}; {one.state === 'expired' ? 'ended' : 'until'} {moment(one.expires_ms)},{' '}
                {one.used_ms ? `last used about ${moment(one.used_ms)}` : 'not used yet'}
              </span>
            </span>
            <Button small look="quiet" aria-label={`Revoke ${one.name}…`} onClick={() => setAsking(one)}>
              Revoke…
            </Button>
          </li>
        ))}
      </ul>
      <Make admin={admin} />
      {asking && (
        <Ask
          title={`Revoke ${asking.name}?`}
          yes="Revoke it"
          no="Keep it"
          doing="Revoking…"
          close={() => setAsking(null)}
          onYes={async () => {
            await drop(`/v1/networks/${network}/keys/${asking.key_id}`);
            await queries.invalidateQueries({ queryKey: ['keys'] });
          }}
        >
          Programs that use it are refused from then on. It cannot be brought back; another one can be made.
        </Ask>
      )}
    </Part>
  );
}

function Make({ admin }: { admin: boolean }) {
  const network = useNetwork();
  const queries = useQueryClient();
  const [name, setName] = useState('');
  const [scopes, setScopes] = useState<string[]>(['read']);
  const [life, setLife] = useState('7776000');
  const [made, setMade] = useState<{ key: string; name: string } | null>(null);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<ApiError | null>(null);
  async function make(event: FormEvent) {
    event.preventDefault();
    setBusy(true);
    setError(null);
    try {
      setMade(await post<{ key: string; name: string }>(`/v1/networks/${network}/keys`, { name, scopes, expires_s: Number(life) }));
      setName('');
      await queries.invalidateQueries({ queryKey: ['keys'] });
    } catch (refused) {
      setError(refused as ApiError);
    }
    setBusy(false);
  }
  if (made) {
    return (
      <div role="status" className="mt-4 max-w-[560px]">
        <p className="mb-2 text-13">
          The key <b className="break-words">{made.name}</b>, shown this once. Keep it where the program finds it, as <code>MESH_API_KEY</code>.
        </p>
        <Command text={made.key} />
        <Button className="mt-3" onClick={() => setMade(null)}>
          I have it
        </Button>
      </div>
    );
  }
  return (
    <form onSubmit={make} className="mt-4 grid max-w-[460px] grid-cols-2 items-start gap-3">
      <Field label="A new key’s name">
        <input required maxLength={63} value={name} onChange={(event) => setName(event.target.value)} className={INPUT} />
      </Field>
      <Field label="Works for">
        <select value={life} onChange={(event) => setLife(event.target.value)} className={INPUT}>
          {LIVES.map((one) => (
            <option key={one.value} value={one.value}>
              {one.label}
            </option>
          ))}
        </select>
      </Field>
      <fieldset className="col-span-2 text-13">
        <legend className="mb-1 font-600">It may</legend>
        {SCOPES.filter((one) => admin || !one.admin).map((one) => (
          <label key={one.scope} className="flex items-center gap-2 py-1 pointer-coarse:min-h-[44px]">
            <input
              type="checkbox"
              checked={scopes.includes(one.scope)}
              onChange={(event) => setScopes(event.target.checked ? [...scopes, one.scope] : scopes.filter((other) => other !== one.scope))}
              className="size-[24px] shrink-0 accent-ink"
            />
            {one.may}
          </label>
        ))}
        <p className="mt-1 text-12 text-ink-3">
          Every scope by name: <code>mesh api-key scopes</code>
        </p>
      </fieldset>
      <Button type="submit" disabled={scopes.length === 0} busy={busy && 'Making…'} className="justify-self-start">
        Make a key
      </Button>
      {error && (
        <div className="col-span-2">
          <Failure message={error.message} code={error.refused.code} />
        </div>
      )}
    </form>
  );
}
