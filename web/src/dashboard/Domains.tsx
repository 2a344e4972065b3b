/** Settings: domains whose people come in without an invite. */
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { type FormEvent, useState } from 'react';
import { Button, Failure, Field, INPUT } from '../parts/controls';
import { ApiError, drop, get, put } from './api';
import { useNetwork } from './data';
import { Waiting } from './Frame';
import { Part } from './SettingsPart';

type Domain = { domain: string; role: string; by: string | null };

export function Domains({ admin }: { admin: boolean }) {
  const network = useNetwork();
  const queries = useQueryClient();
  const path = `/v1/networks/${network}/domains`;
  const found = useQuery({ queryKey: ['settings', network, 'domains'], queryFn: async () => (await get<{ domains: Domain[] }>(path)).domains });
  const [name, setName] = useState('');
  const [role, setRole] = useState('member');
  const [busy, setBusy] = useState('');
  const [error, setError] = useState<ApiError | null>(null);
  async function change(what: string, doing: () => Promise<unknown>) {
    setBusy(what);
    setError(null);
    try {
      await doing();
      setName('');
      await queries.invalidateQueries({ queryKey: ['settings'] });
    } catch (refused) {
      setError(refused as ApiError);
    }
    setBusy('');
  }
  function add(event: FormEvent) {
    event.preventDefault();
    void change('add', () => put(`${path}/${encodeURIComponent(name.trim())}`, { role }));
  }
  return (
    <Part
      title="Domains"
      about="Who shows an e-mail address in one of these comes in without an invite: by a provider that verified it, or by a letter. Exactly that domain, nothing below it. List only one whose addresses your own people alone get."
    >
      {!!found.error && <Waiting error={found.error} what="The list of domains" />}
      {found.data?.length === 0 && <p className="mb-3 text-13 text-ink-2">None: people come by an invite.</p>}
      <ul className="mb-4 max-w-[460px]">
        {found.data?.map((one) => (
          <li key={one.domain} className="flex items-center gap-4 border-b border-line py-2 text-13">
            <span className="min-w-0 flex-1 wrap-anywhere">
              {one.domain} <span className="text-ink-2">as a {one.role}</span>
            </span>
            {one.by === null && <span className="text-12 text-ink-3">by the operator</span>}
            {admin && one.by !== null && (
              <Button small look="quiet" aria-label={`Remove ${one.domain}`} disabled={!!busy} onClick={() => void change(one.domain, () => drop(`${path}/${encodeURIComponent(one.domain)}`))}>
                Remove
              </Button>
            )}
          </li>
        ))}
      </ul>
      {admin && (
        <form onSubmit={add} className="grid max-w-[460px] grid-cols-[minmax(0,1fr)_auto_auto] items-end gap-3">
          <Field label="A domain">
            <input required value={name} maxLength={253} placeholder="example.org" autoCapitalize="none" spellCheck={false} onChange={(event) => setName(event.target.value)} className={INPUT} />
          </Field>
          <Field label="As">
            <select aria-label="Come in as" value={role} onChange={(event) => setRole(event.target.value)} className={INPUT}>
              <option value="member">member</option>
              <option value="guest">guest</option>
            </select>
          </Field>
          <Button type="submit" busy={busy === 'add' && 'Adding…'}>
            Add
          </Button>
        </form>
      )}
      {error && (
        <div className="mt-3">
          <Failure message={error.message} code={error.refused.code} />
        </div>
      )}
    </Part>
  );
}
