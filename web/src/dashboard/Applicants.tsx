/** People who wait for an admin: who they say they are, how they came, and a yes or a no. */
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { Ask } from '../parts/Ask';
import { Button, Failure, Field, INPUT } from '../parts/controls';
import { moment } from '../parts/words';
import { ApiError, get, post } from './api';
import { type Names, useNames, useNetwork } from './data';
import { Waiting } from './Frame';

export type Applicant = {
  member: string;
  name: string;
  role: string;
  asked_ms: number;
  expires_ms: number;
  invited_by: string | null;
  invite_name: string;
  address: string;
};

/** Who waits, for admins; read again with everything about people. */
export function useApplicants(admin: boolean) {
  const network = useNetwork();
  return useQuery({
    queryKey: ['people', network, 'applicants'],
    queryFn: async () => (await get<{ applicants: Applicant[] }>(`/v1/networks/${network}/applicants`)).applicants,
    enabled: admin,
  });
}

export function Applicants({ waiting, error }: { waiting: Applicant[]; error: unknown }) {
  if (error) return <Waiting error={error} what="The list of who waits" />;
  if (waiting.length === 0) return null;
  return (
    <section className="mb-9" aria-labelledby="waiting">
      <h2 id="waiting" className="mb-1 text-15 font-600">
        Waiting to be let in
      </h2>
      <p className="mb-3 max-w-[62em] text-13 text-ink-2">They see nothing of this network and can do nothing in it until one of its admins says yes. Names are their own word.</p>
      <ul>
        {waiting.map((one) => (
          <One key={one.member} one={one} />
        ))}
      </ul>
    </section>
  );
}

function One({ one }: { one: Applicant }) {
  const network = useNetwork();
  const names = useNames();
  const queries = useQueryClient();
  const [busy, setBusy] = useState(false);
  const [asking, setAsking] = useState(false);
  const [why, setWhy] = useState('');
  const [error, setError] = useState<ApiError | null>(null);
  const path = `/v1/networks/${network}/applicants/${one.member}`;
  async function approve() {
    setBusy(true);
    setError(null);
    try {
      await post(`${path}/approve`);
      await queries.invalidateQueries({ queryKey: ['people'] });
    } catch (refused) {
      setError(refused as ApiError);
    }
    setBusy(false);
  }
  return (
    <li className="flex flex-wrap items-center gap-x-5 gap-y-2 border-t border-line py-3 last:border-b">
      <span className="min-w-0 flex-1 basis-[220px] text-13">
        <b className="text-14 wrap-anywhere">{one.name}</b> <span className="whitespace-nowrap text-ink-2">as {one.role === 'admin' ? 'an admin' : `a ${one.role}`}</span>
        <span className="block wrap-anywhere text-ink-2">
          {came(one, names)}, {moment(one.asked_ms)}
        </span>
      </span>
      <span className="flex gap-2">
        <Button look="primary" aria-label={`Approve ${one.name}`} busy={busy && 'Approving…'} onClick={() => void approve()}>
          Approve
        </Button>
        <Button aria-label={`Refuse ${one.name}`} disabled={busy} onClick={() => setAsking(true)}>
          Refuse…
        </Button>
      </span>
      {error && (
        <div className="w-full">
          <Failure message={error.message} code={error.refused.code} />
        </div>
      )}
      {asking && (
        <Ask
          title={`Refuse ${one.name}?`}
          yes={`Refuse ${one.name}`}
          no="Let them wait"
          doing="Refusing…"
          close={() => setAsking(false)}
          onYes={async () => {
            await post(`${path}/refuse`, { why });
            await queries.invalidateQueries({ queryKey: ['people'] });
          }}
        >
          <span className="mb-4 block">They are told, and need a fresh invite to ask again.</span>
          <Field label="Why, if you want to say it" hint="They read it; nobody else does.">
            <input value={why} maxLength={200} onChange={(event) => setWhy(event.target.value)} className={INPUT} />
          </Field>
        </Ask>
      )}
    </li>
  );
}

function came(one: Applicant, names: Names): string {
  const how = one.address ? `Showed that ${one.address} is theirs` : one.invite_name ? `Came by a link for ${one.invite_name}` : 'Came by a link';
  return one.invited_by ? `${how}, invited by ${names.person(one.invited_by)}` : how;
}
