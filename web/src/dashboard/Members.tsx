/** Members: who is in, as what, with which devices; inviting, changing and letting go. */
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { type FormEvent, useState } from 'react';
import { Ask } from '../parts/Ask';
import { Button, Command, Failure, Field, INPUT, LINK } from '../parts/controls';
import { Glyph, STATE_WORDS } from '../parts/marks';
import { Qr } from '../parts/Qr';
import { useUndo } from '../parts/Undo';
import { moment } from '../parts/words';
import { Applicants, useApplicants } from './Applicants';
import { type Account, ApiError, type Device, drop, get, type Member, post, put, type Role, type Token } from './api';
import { useMe, useMembers, useNetwork, usePicture } from './data';
import { stateOf } from './deviceState';
import { Sentence, Waiting } from './Frame';
import { membersSentence } from './sentences';
import { settled } from './YourData';

const ROLES: { value: Role; label: string; may: string }[] = [
  { value: 'admin', label: 'admin', may: 'invites and removes people, sets the rules, sees all records and the whole ledger' },
  { value: 'member', label: 'member', may: 'adds devices, runs what the rules allow, sees their own usage' },
  { value: 'guest', label: 'guest', may: 'runs what the rules allow guests; whoever invited them pays' },
];

/** How soon to look again whether a letter has left. */
const LETTER_MS = 1000;

export function MembersPage() {
  const network = useNetwork();
  const me = useMe();
  const members = useMembers();
  const picture = usePicture();
  const mine = me.data?.networks.find((one) => one.network === network)?.role;
  const admin = mine === 'admin';
  const applicants = useApplicants(admin);
  const balances = useQuery({
    queryKey: ['balances', network],
    queryFn: async () => (await get<{ accounts: Account[] }>(`/v1/networks/${network}/balances`)).accounts,
  });
  const tokens = useQuery({
    queryKey: ['tokens', network],
    queryFn: async () => (await get<{ tokens: Token[] }>(`/v1/networks/${network}/tokens`)).tokens,
    refetchInterval: (query) => (query.state.data?.some((one) => one.letter === 'waiting') ? LETTER_MS : false),
  });
  const invites = tokens.data?.filter((one) => one.state === 'open' && one.purpose === 'member') ?? [];
  if (!members.data) {
    return (
      <>
        <Sentence>
          <span className="text-ink-3">Members</span>
        </Sentence>
        <Waiting error={members.error} what="The list of members" />
      </>
    );
  }
  const admins = members.data.filter((one) => one.role === 'admin').length;
  return (
    <>
      <Sentence>{membersSentence(members.data, invites.length, applicants.data?.length ?? 0)}</Sentence>
      <Applicants waiting={applicants.data ?? []} error={applicants.error} />
      <ul className="mb-9">
        {members.data.map((one) => (
          <Person
            key={one.member}
            person={one}
            me={me.data?.member ?? ''}
            admin={admin}
            last={one.role === 'admin' && admins === 1}
            devices={picture.data?.devices.filter((device) => device.owner === one.member) ?? []}
            balance={balances.data?.find((account) => account.member === one.member && account.kind === 'balance')?.amount ?? null}
            scale={Math.max(1, ...(balances.data ?? []).filter((account) => account.kind === 'balance').map((account) => Math.abs(account.amount)))}
          />
        ))}
      </ul>
      <div className="grid gap-x-16 gap-y-9 wider:grid-cols-2">
        {admin && <Invite tokens={tokens.data ?? []} />}
        <Links tokens={tokens.data ?? []} error={tokens.error} />
      </div>
    </>
  );
}

type PersonProps = { person: Member; me: string; admin: boolean; last: boolean; devices: Device[]; balance: number | null; scale: number };

function Person({ person, me, admin, last, devices, balance, scale }: PersonProps) {
  const network = useNetwork();
  const queries = useQueryClient();
  const undo = useUndo();
  const [asking, setAsking] = useState(false);
  const [error, setError] = useState<ApiError | null>(null);
  const mine = person.member === me;
  async function change(role: Role) {
    setError(null);
    const save = async (next: Role) => {
      await put(`/v1/networks/${network}/members/${person.member}`, { role: next });
      await queries.invalidateQueries({ queryKey: ['people'] });
    };
    try {
      await save(role);
      undo(`${person.name} is ${role === 'admin' ? 'an' : 'a'} ${role} now.`, () => save(person.role));
    } catch (refused) {
      setError(refused as ApiError);
    }
  }
  return (
    <li id={person.member} className="scroll-mt-20 border-t border-line py-3 last:border-b target:bg-live-wash">
      <div className="grid grid-cols-[minmax(0,1fr)_auto] items-center gap-x-5 gap-y-2 wider:grid-cols-[minmax(140px,1fr)_130px_minmax(160px,1fr)_170px_110px]">
        <b className="break-words">
          {person.name} {mine && <span className="font-400 text-ink-3">you</span>}
        </b>
        <span className="text-13">
          {admin && !last ? (
            <select
              aria-label={`Role of ${person.name}`}
              value={person.role}
              onChange={(event) => void change(event.target.value as Role)}
              className="h-[28px] rounded-6 border border-line bg-transparent px-1.5 text-13 pointer-coarse:h-[44px]"
            >
              {ROLES.map((role) => (
                <option key={role.value} value={role.value} className="bg-raised">
                  {role.label}
                </option>
              ))}
            </select>
          ) : (
            person.role
          )}
        </span>
        <span className="flex flex-wrap gap-x-4 gap-y-1 text-13 max-wider:col-span-2">
          {devices.length === 0 && <span className="text-ink-3">no device</span>}
          {devices.map((device) => (
            <Link key={device.device} to="/n/$network/devices/$device" params={{ network, device: device.device }} className="inline-flex items-center gap-1.5 hover:underline">
              <Glyph state={stateOf(device, new Set())} /> {device.name} <span className="sr-only">{STATE_WORDS[stateOf(device, new Set())]}</span>
            </Link>
          ))}
        </span>
        <Plumb amount={balance} scale={scale} mine={mine} />
        <span className="text-right max-wider:col-span-2 max-wider:text-left">
          {last ? (
            <span className="text-12 text-ink-3">the only admin</span>
          ) : (
            (admin || mine) && (
              <Button small look="quiet" onClick={() => setAsking(true)}>
                {mine ? 'Leave…' : 'Remove…'}
              </Button>
            )
          )}
        </span>
      </div>
      {error && <Failure message={error.message} code={error.refused.code} />}
      {asking && (
        <Ask
          title={mine ? 'Leave this network?' : `Remove ${person.name}?`}
          yes={mine ? 'Leave' : `Remove ${person.name}`}
          no={mine ? 'Stay' : 'Keep them'}
          doing="Removing…"
          close={() => setAsking(false)}
          onYes={async () => {
            await drop(`/v1/networks/${network}/members/${person.member}`);
            if (mine) location.assign('/');
            await queries.invalidateQueries();
          }}
        >
          {devices.length === 0 ? (mine ? 'You have no devices here.' : 'They have no devices here.') : `${devices.map((one) => one.name).join(', ')} stop working within 5 seconds and are refused everywhere within 5 minutes.`}{' '}
          {settled(balance ?? 0)} Ledger lines stay. {mine ? 'You come' : 'They come'} back only with a fresh invite.
        </Ask>
      )}
    </li>
  );
}

/** A balance as a small bar on the plumb line. */
function Plumb({ amount, scale, mine }: { amount: number | null; scale: number; mine: boolean }) {
  if (amount === null) return <span className="text-12 text-ink-3 max-wider:hidden" />;
  const wide = (Math.abs(amount) / scale) * 40;
  return (
    <span className="flex items-center gap-3 text-13 max-wider:hidden">
      <svg width="84" height="16" aria-hidden="true">
        <rect x={amount < 0 ? 42 - wide : 42} y="4" width={wide} height="8" className={mine ? 'fill-ink' : 'fill-edge'} />
        <path d="M42 0v16" className="stroke-ink" />
      </svg>
      {(amount / 1e6).toLocaleString('en-US', { minimumFractionDigits: 2, maximumFractionDigits: 2 }).replace('-', '−')}
    </span>
  );
}

function Invite({ tokens }: { tokens: Token[] }) {
  const network = useNetwork();
  const queries = useQueryClient();
  const [name, setName] = useState('');
  const [role, setRole] = useState<Role>('member');
  const [life, setLife] = useState('86400');
  const [uses, setUses] = useState('1');
  const [email, setEmail] = useState('');
  const [approve, setApprove] = useState(false);
  const [made, setMade] = useState<{ link: string; token_id: string; letter: string } | null>(null);
  const [error, setError] = useState<ApiError | null>(null);
  async function make(event: FormEvent) {
    event.preventDefault();
    setError(null);
    try {
      const terms = { purpose: 'member', name, role, expires_s: Number(life), approve };
      const body = email ? { ...terms, uses: 1, address: email } : { ...terms, uses: Number(uses) };
      setMade(await post<{ link: string; token_id: string; letter: string }>(`/v1/networks/${network}/tokens`, body));
      await queries.invalidateQueries({ queryKey: ['tokens'] });
    } catch (refused) {
      setError(refused as ApiError);
    }
  }
  return (
    <section className="border-t border-ink pt-4">
      <h2 className="mb-1 text-15 font-600">Invite a person you trust</h2>
      <p className="mb-4 text-13 text-ink-2">They bring their own devices and decide what each one shares.</p>
      {!made ? (
        <form onSubmit={make} className="grid max-w-[460px] grid-cols-2 gap-3">
          <div className="col-span-2">
            <Field label="Name" hint="They can change it when they come.">
              <input value={name} maxLength={63} onChange={(event) => setName(event.target.value)} className={INPUT} />
            </Field>
          </div>
          <div className="col-span-2">
            <Field label="E-mail address, if only they may come" hint="They show that it is theirs before they are let in.">
              <input type="email" value={email} maxLength={254} onChange={(event) => setEmail(event.target.value)} className={INPUT} />
            </Field>
          </div>
          <div className="col-span-2">
            <Field label="As" hint={`A ${role} ${ROLES.find((one) => one.value === role)!.may}.`}>
              <select value={role} onChange={(event) => setRole(event.target.value as Role)} className={INPUT}>
                {ROLES.map((one) => (
                  <option key={one.value} value={one.value}>
                    {one.label}
                  </option>
                ))}
              </select>
            </Field>
          </div>
          <Field label="Good for">
            <select value={life} onChange={(event) => setLife(event.target.value)} className={INPUT}>
              <option value="3600">an hour</option>
              <option value="86400">a day</option>
              <option value="604800">a week</option>
            </select>
          </Field>
          {!email && (
            <Field label="People">
              <input type="number" min="1" max="100" value={uses} onChange={(event) => setUses(event.target.value)} className={INPUT} />
            </Field>
          )}
          <label className="col-span-2 flex items-start gap-2 text-13">
            <input type="checkbox" checked={approve} onChange={(event) => setApprove(event.target.checked)} className="mt-0.5 size-[16px] accent-ink" />
            Who comes by it waits until an admin approves them
          </label>
          <Button look="primary" type="submit" className="justify-self-start">
            Invite
          </Button>
          {error && (
            <div className="col-span-2">
              <Failure message={error.message} code={error.refused.code} />
            </div>
          )}
        </form>
      ) : (
        <div className="grid max-w-[460px] gap-3">
          <p className="text-13 wrap-anywhere">{sent(email, name, tokens.find((one) => one.token_id === made.token_id)?.letter ?? made.letter)}</p>
          <Command text={made.link} />
          <Qr text={made.link} />
          <button type="button" className={`justify-self-start text-13 ${LINK}`} onClick={() => setMade(null)}>
            Invite another
          </button>
        </div>
      )}
    </section>
  );
}

/** What became of an invite, and who can use it. */
function sent(email: string, name: string, letter: string): string {
  if (!email) return `Send this to ${name || 'them'}, and to nobody else: who holds it can use it. It is shown this once.`;
  const yourself = `Send this to ${name || 'them'} yourself.`;
  const how =
    letter === 'sent'
      ? `A letter with this was sent to ${email}.`
      : letter === 'waiting'
        ? `A letter with this is on its way to ${email}.`
        : letter === 'failed'
          ? `The mail server did not take the letter. ${yourself}`
          : `No mail is sent from here. ${yourself}`;
  return `${how} Only who shows that ${email} is theirs can use it. It is shown this once.`;
}

const LETTERS: Record<string, string> = {
  waiting: ' (letter on its way)',
  sent: ' (letter sent)',
  failed: ' (no letter left: send the link yourself, or invite anew)',
};

function Links({ tokens, error }: { tokens: Token[]; error: unknown }) {
  const network = useNetwork();
  const queries = useQueryClient();
  const open = tokens.filter((one) => one.state === 'open');
  async function revoke(token: string) {
    await drop(`/v1/networks/${network}/tokens/${token}`);
    await queries.invalidateQueries({ queryKey: ['tokens'] });
  }
  return (
    <section className="border-t border-ink pt-4">
      <h2 className="mb-3 text-15 font-600">Open links</h2>
      {!!error && <Waiting error={error} what="The list of links" />}
      {open.length === 0 && !error && <p className="text-13 text-ink-2">None. Links are used up, expire, or are withdrawn here.</p>}
      <ul>
        {open.map((one) => (
          <li key={one.token_id} className="flex flex-wrap items-center gap-x-4 border-b border-line py-2 text-13">
            <span className="min-w-0 flex-1 wrap-anywhere">
              For a {one.purpose}
              {one.name && `, ${one.name}`}
              {one.address && `, only ${one.address}`}
              {LETTERS[one.letter ?? '']}: used {one.used} of {one.uses}, until {moment(one.expires_ms)}
            </span>
            <Button small look="quiet" onClick={() => void revoke(one.token_id)}>
              Revoke
            </Button>
          </li>
        ))}
      </ul>
    </section>
  );
}
