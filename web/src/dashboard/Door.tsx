/** The page behind a link: who invites, into what, as what, and what that means; then one button. */
import { useQuery } from '@tanstack/react-query';
import { type FormEvent, useEffect, useState } from 'react';
import { Button, Command, Failure, Field, INPUT } from '../parts/controls';
import { Mark } from '../parts/marks';
import { moment } from '../parts/words';
import { ApiError, get, type Me, post } from './api';
import { browser, WaysToEnter } from './Ways';

type Look = {
  purpose: string;
  role: string;
  name: string;
  expires_ms: number;
  network: string | null;
  maker: string | null;
  approved: boolean;
  waits?: boolean;
  address?: string | null;
  proven?: boolean;
};

const WAITS = 'You wait until one of its admins lets you in.';

const ROLES: Record<string, string> = {
  admin: 'As an admin you invite and remove people, set the rules, and see all job records and the whole ledger.',
  member: 'As a member you add your own devices, run what the rules allow, and see your own usage and the network’s devices.',
  guest: 'As a guest you run what the rules allow guests: public data, unless an admin decided otherwise.',
};

/** The secret never leaves this browser but to the coordinator that the link names: it stays in the fragment. */
const SECRET = location.hash.match(/^#v1\.([\w-]+)\./)?.[1] ?? '';

export function Door() {
  const look = useQuery({ queryKey: ['look'], queryFn: () => post<Look>('/v1/links/look', { secret: SECRET }), enabled: !!SECRET, retry: false });
  useEffect(() => {
    // Another link opened in this tab changes only the fragment: the browser would go on showing this one.
    const again = () => location.reload();
    addEventListener('hashchange', again);
    return () => removeEventListener('hashchange', again);
  }, []);
  return (
    <main className="mx-auto max-w-[400px] px-4 pt-16 pb-16">
      <Mark />
      {!SECRET && <Heading text="This link is not whole." below="Copy all of it, up to its last letter, and open it again." />}
      {look.error instanceof ApiError && <Used error={look.error} />}
      {look.data && (look.data.purpose === 'device' || look.data.purpose === 'relay') && <ForMachine look={look.data} />}
      {look.data && !['device', 'relay'].includes(look.data.purpose) && <ForPerson look={look.data} />}
    </main>
  );
}

function Heading({ text, below }: { text: string; below?: string }) {
  return (
    <>
      <h1 className="mt-5 mb-3 text-27 font-450 tracking-[-0.012em]">{text}</h1>
      {below && <p className="mb-4 text-ink-2">{below}</p>}
    </>
  );
}

function Used({ error }: { error: ApiError }) {
  return (
    <>
      <Heading text="This link does not work any more." />
      <Failure message={error.message} code={error.refused.code} />
    </>
  );
}

function ForMachine({ look }: { look: Look }) {
  return (
    <>
      <Heading
        text={`This link lets a machine into ${look.network ?? 'a network'}.`}
        below={`Made by ${look.maker ?? 'somebody'}, good until ${moment(look.expires_ms)}. On that machine, with Mesh installed:`}
      />
      <Command text={`mesh device join '${location.href}' --name NAME`} />
      <p className="mt-3 text-13 text-ink-2">Then: mesh up. Opening this page has used nothing up.</p>
    </>
  );
}

function ForPerson({ look }: { look: Look }) {
  const signIn = look.purpose === 'signin' || look.purpose === 'sign_in' || look.purpose === 'person';
  const [name, setName] = useState(look.name);
  const [error, setError] = useState<ApiError | null>(null);
  const [busy, setBusy] = useState(false);
  const [another, setAnother] = useState(false);
  const claim = look.purpose === 'claim';
  const me = useQuery({ queryKey: ['me'], queryFn: () => get<Me>('/v1/me'), retry: false });

  async function enter(event: FormEvent) {
    event.preventDefault();
    setBusy(true);
    setError(null);
    try {
      await post('/v1/page/sign-in', { secret: SECRET, name, label: browser() });
      location.replace('/');
    } catch (refused) {
      setBusy(false);
      setError(refused as ApiError);
    }
  }

  async function join() {
    setBusy(true);
    setError(null);
    try {
      const joined = await post<{ network: string }>('/v1/me/networks', { secret: SECRET });
      location.replace(`/n/${joined.network}`);
    } catch (refused) {
      setBusy(false);
      setError(refused as ApiError);
    }
  }

  const unproven = !!look.address && !look.proven && !signIn;
  const title = claim ? 'Nobody owns this installation yet.' : signIn ? 'Sign in here?' : `${look.maker ?? 'Somebody'} invites you to ${look.network}.`;
  if (me.data && !claim && !signIn && !another) {
    return (
      <>
        <Heading text={title} below={ROLES[look.role]} />
        {look.waits && <p className="mb-4 text-13">{WAITS}</p>}
        {unproven && <Proof address={look.address!} />}
        {error && <Failure message={error.message} code={error.refused.code} />}
        <div className="mt-4 flex flex-wrap gap-3">
          <Button look="primary" busy={busy && 'Joining…'} onClick={() => void join()}>
            {look.waits ? 'Ask to join' : 'Join'} as {me.data.name}
          </Button>
          <Button look="quiet" onClick={() => setAnother(true)}>
            I am somebody else
          </Button>
        </div>
      </>
    );
  }
  return (
    <form onSubmit={enter}>
      <Heading
        text={title}
        below={claim ? 'Whoever follows this link first owns it: you make its networks and invite people.' : signIn ? (look.address ? `As ${look.maker}, by ${look.address}.` : undefined) : ROLES[look.role]}
      />
      {!signIn && (
        <Field label="What others call you">
          <input required maxLength={63} autoComplete="name" value={name} onChange={(event) => setName(event.target.value)} className={INPUT} />
        </Field>
      )}
      {!claim && !signIn && (
        <div className="my-4 border-l-2 border-line pl-3 text-13 text-ink-2">
          <p>
            <b className="text-ink">The network sees</b> that your jobs ran, where, how long and for how much.
          </p>
          <p>
            <b className="text-ink">It does not see</b> what is in them: the coordinator and the relay hold no key that opens your data. The
            device that does the work sees it, and so can its owner.
          </p>
        </div>
      )}
      {look.waits && <p className="my-4 text-13">{WAITS}</p>}
      {unproven && <Proof address={look.address!} />}
      {error && <Failure message={error.message} code={error.refused.code} />}
      {!unproven && (
        <Button look="primary" type="submit" className="mt-4" busy={busy && (claim ? 'Claiming…' : signIn ? 'Signing in…' : 'Joining…')}>
          {claim ? 'Claim it' : signIn ? 'Sign in' : `${look.waits ? 'Ask to join' : 'Join'} ${look.network}`}
        </Button>
      )}
      {!signIn && <WaysToEnter back="/" verb={claim ? 'Claim it' : 'Join'} invite={{ secret: SECRET, name }} />}
      <p className="mt-3 text-12 text-ink-3">This link works until {moment(look.expires_ms)}.</p>
    </form>
  );
}

/** An invite for one address: a letter to it shows whose it is, or an account that has it. */
function Proof({ address }: { address: string }) {
  const ways = useQuery({ queryKey: ['ways'], queryFn: () => get<{ mail: boolean }>('/v1/ways') });
  const [state, setState] = useState<'' | 'asking' | 'sent'>('');
  const [error, setError] = useState<ApiError | null>(null);
  async function ask() {
    setState('asking');
    setError(null);
    try {
      await post('/v1/page/mail/invite', { secret: SECRET });
      setState('sent');
    } catch (refused) {
      setState('');
      setError(refused as ApiError);
    }
  }
  return (
    <div className="my-4 text-13">
      <p className="mb-3 wrap-anywhere">This invite is only for {address}. Show that the address is yours.</p>
      {error && <Failure message={error.message} code={error.refused.code} />}
      {state === 'sent' ? (
        <p>If the invite still holds, a link is on its way. Open it in this browser, within ten minutes.</p>
      ) : (
        ways.data?.mail && (
          <Button look="primary" busy={state === 'asking' && 'Sending…'} onClick={() => void ask()}>
            Send a link to it
          </Button>
        )
      )}
    </div>
  );
}
