/** Settings: what a network is set to, its keys, and where one is signed in. */
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { useState } from 'react';
import { Ask } from '../parts/Ask';
import { Button, Field, INPUT, LINK, Segment } from '../parts/controls';
import { Theme } from '../parts/Theme';
import { many, moment } from '../parts/words';
import { drop, get, post, type Settings } from './api';
import { ApiKeys } from './ApiKeys';
import { useMe, useNetwork } from './data';
import { Domains } from './Domains';
import { Sentence, Waiting } from './Frame';
import { NewPeople } from './NewPeople';
import { Part, useChange } from './SettingsPart';
import { Tariff } from './Tariff';
import { Permits, Waits } from './Terms';
import { WaysIn } from './WaysIn';
import { Weights } from './Weights';
import { YourData } from './YourData';

type Session = { session: string; label: string | null; created_ms: number; expires_ms: number; current: boolean; by_code: boolean };

export function SettingsPage() {
  const network = useNetwork();
  const me = useMe();
  const admin = me.data?.networks.find((one) => one.network === network)?.role === 'admin';
  const settings = useQuery({ queryKey: ['settings', network], queryFn: () => get<Settings>(`/v1/networks/${network}/settings`) });
  if (!settings.data) {
    return (
      <>
        <Sentence>
          <span className="text-ink-3">Settings</span>
        </Sentence>
        <Waiting error={settings.error} what="The settings" />
      </>
    );
  }
  const friends = settings.data.credit_line === 'friends';
  return (
    <>
      <Sentence below={admin ? undefined : 'You can look; an admin changes them.'}>
        {friends ? 'This network runs on the friends line: going below zero is fine.' : 'This network runs on the strict line: nobody goes below zero.'}
      </Sentence>
      <div className="max-w-[760px]">
        <Part title="Rules" about="Who may run what, on which devices, with which data; and what admins decided.">
          <p className="flex gap-5 text-14">
            <Link to="/n/$network/policy" params={{ network }} className={LINK}>
              Policy
            </Link>
            <Link to="/n/$network/audit" params={{ network }} className={LINK}>
              Decisions
            </Link>
            {admin && (
              <Link to="/n/$network/review" params={{ network }} className={LINK}>
                Review
              </Link>
            )}
          </p>
        </Part>
        <Credit line={settings.data.credit_line} admin={admin} />
        {settings.data.tariff && <Tariff tariff={settings.data.tariff} admin={admin} />}
        <Waits on={settings.data.approve_devices ?? false} admin={admin} />
        <NewPeople on={settings.data.approve_people ?? false} admin={admin} />
        <Domains admin={admin} />
        <Permits key={`permits ${settings.data.permits_per_member}`} most={settings.data.permits_per_member} admin={admin} />
        <Weights key={JSON.stringify(settings.data.weights)} weights={settings.data.weights} admin={admin} />
        {settings.data.keep_jobs_days != null && (
          <Keeping
            key={`${settings.data.keep_jobs_days}/${settings.data.keep_decisions_days}`}
            jobs={settings.data.keep_jobs_days}
            decisions={settings.data.keep_decisions_days ?? 0}
            admin={admin}
          />
        )}
        {admin && <Keys />}
        <ApiKeys admin={admin} />
        <WaysIn />
        <Places />
        <YourData />
        <Part title="How it looks here">
          <Theme />
        </Part>
      </div>
    </>
  );
}

function Credit({ line, admin }: { line: string; admin: boolean }) {
  const { change, failure } = useChange();
  return (
    <Part
      title="Credits"
      about="Friends: balances are shown and may go below zero. Strict: nobody goes below zero, and each approved person starts with a welcome allowance. Each has balances of its own: when it changes, the one’s are set aside and the other’s count again."
    >
      <Segment
        name="Credit line"
        value={line}
        onChange={(next) => void change({ credit_line: next }, `The credit line is ${next} now.`, { credit_line: line })}
        options={[
          { value: 'friends', label: 'Friends', off: !admin },
          { value: 'strict', label: 'Strict', off: !admin },
        ]}
      />
      {failure}
    </Part>
  );
}

/** How long the network keeps what it does not need for good. */
function Keeping({ jobs, decisions, admin }: { jobs: number; decisions: number; admin: boolean }) {
  const { change, failure, busy } = useChange();
  const [jobDays, setJobDays] = useState(String(jobs));
  const [logDays, setLogDays] = useState(decisions ? String(decisions) : '');
  const same = Number(jobDays) === jobs && Number(logDays) === decisions;
  return (
    <Part title="What is kept how long" about="Job records say what was asked, where it ran and why. The ledger is always kept.">
      {admin ? (
        <form
          className="grid max-w-[460px] grid-cols-2 items-start gap-3"
          onSubmit={(event) => {
            event.preventDefault();
            void change(
              { keep_jobs_days: Number(jobDays), keep_decisions_days: Number(logDays) },
              `Job records are kept for ${many(Number(jobDays), 'day')} now.`,
              { keep_jobs_days: jobs, keep_decisions_days: decisions },
            );
          }}
        >
          <Field label="Job records, days" hint="15 to 3650; what is not settled stays longer">
            <input type="number" min="15" max="3650" required value={jobDays} onChange={(event) => setJobDays(event.target.value)} className={INPUT} />
          </Field>
          <Field label="Log of decisions, days" hint="90 to 3650; empty: for good">
            <input type="number" min="90" max="3650" value={logDays} onChange={(event) => setLogDays(event.target.value)} className={INPUT} />
          </Field>
          {!same && (
            <Button look="primary" type="submit" busy={busy && 'Saving…'} className="justify-self-start">
              Save
            </Button>
          )}
        </form>
      ) : (
        <p className="text-13">
          Job records {many(jobs, 'day')}, the log of decisions {decisions ? many(decisions, 'day') : 'for good'}.
        </p>
      )}
      {failure}
    </Part>
  );
}

function Keys() {
  const network = useNetwork();
  const [asking, setAsking] = useState(false);
  const [done, setDone] = useState('');
  return (
    <Part title="Keys" about="The network’s key signs who is in. Replace it if you fear that somebody has it; everything keeps running through it.">
      <Button onClick={() => setAsking(true)}>Replace the network’s key…</Button>
      {done && (
        <p role="status" className="mt-2 text-13">
          {done}
        </p>
      )}
      {asking && (
        <Ask
          title="Replace the network’s key?"
          yes="Replace it"
          no="Keep it"
          doing="Replacing…"
          close={() => setAsking(false)}
          onYes={async () => {
            const turned = await post<{ old_until_ms: number }>(`/v1/networks/${network}/rotate-key`);
            setDone(`Replaced. The old key is good until ${moment(turned.old_until_ms)}, so that devices which are away can follow.`);
          }}
        >
          Old and new are both good for a day. Devices follow by themselves. It cannot be taken back, only replaced again.
        </Ask>
      )}
    </Part>
  );
}

function Places() {
  const queries = useQueryClient();
  const sessions = useQuery({ queryKey: ['sessions'], queryFn: async () => (await get<{ sessions: Session[] }>('/v1/sessions')).sessions });
  async function end(session: string) {
    await drop(`/v1/sessions/${session}`);
    await queries.invalidateQueries({ queryKey: ['sessions'] });
  }
  return (
    <Part title="Where you are signed in" about="End what you do not know.">
      {!!sessions.error && <Waiting error={sessions.error} what="The list" />}
      <ul>
        {sessions.data?.map((one) => (
          <li key={one.session} className="flex items-center gap-4 border-b border-line py-2 text-13">
            <span className="flex-1">
              {one.label || 'A place without a name'} {one.current && <b>· here</b>}
              {one.by_code && '· by a code: does nothing that only admins may'}
              <span className="block text-12 text-ink-3">
                since {moment(one.created_ms)}, until {moment(one.expires_ms)}
              </span>
            </span>
            {!one.current && (
              <Button small look="quiet" onClick={() => void end(one.session)}>
                Sign out there
              </Button>
            )}
          </li>
        ))}
      </ul>
    </Part>
  );
}
