/** The ways of signing in that an installation offers beside links: exactly those that its operator set up. */
import { useQuery } from '@tanstack/react-query';
import { type FormEvent, useState } from 'react';
import { Button, Failure, Field, INPUT, LINK } from '../parts/controls';
import { ApiError, get, post } from './api';

export type Ways = { providers: { way: string; title: string }[]; passkeys: boolean; url: string; mail: boolean };
export type Back = '/' | '/device';

export function useWays() {
  return useQuery({ queryKey: ['ways'], queryFn: () => get<Ways>('/v1/ways'), staleTime: 60_000 });
}

/** Remembers, across the visit at a provider, that a way is linked and on which page that began. */
export const LINKING = 'mesh-linking';

type EnterProps = { back: Back; verb?: string; invite?: { secret: string; name: string } };

/** A button for each provider; with an invite, somebody new comes in by it. */
export function WaysToEnter({ back, verb = 'Sign in', invite }: EnterProps) {
  const ways = useWays();
  const [busy, setBusy] = useState('');
  const [error, setError] = useState<ApiError | null>(null);

  async function start(way: string) {
    setBusy(way);
    setError(null);
    sessionStorage.removeItem(LINKING);
    try {
      const { url } = await post<{ url: string }>('/v1/page/ways/start', { way, back, label: browser(), ...invite });
      location.assign(url);
    } catch (refused) {
      setError(refused as ApiError);
      setBusy('');
    }
  }

  async function byPasskey() {
    setBusy('passkey');
    setError(null);
    try {
      const { startAuthentication } = await import('@simplewebauthn/browser');
      type Options = Parameters<typeof startAuthentication>[0]['optionsJSON'];
      const optionsJSON = await post<Options>('/v1/page/passkeys/begin', { label: browser(), back });
      const credential = await startAuthentication({ optionsJSON }).catch(unsigned);
      const entered = await post<{ back: string }>('/v1/page/passkeys/finish', { credential });
      location.replace(entered.back);
    } catch (refused) {
      setError(refused as ApiError);
      setBusy('');
    }
  }

  const passkeys = !invite && !!ways.data?.passkeys;
  const mail = !invite && !!ways.data?.mail;
  if (!ways.data || !(ways.data.providers.length || passkeys || mail)) return null;
  return (
    <>
      <ul className="my-4 grid empty:hidden justify-items-start gap-2">
        {ways.data.providers.map((one) => (
          <li key={one.way}>
            <Button busy={busy === one.way && `To ${one.title}…`} disabled={!!busy} onClick={() => void start(one.way)}>
              {verb} with {one.title}
            </Button>
          </li>
        ))}
        {passkeys && ways.data.url === location.origin && (
          <li>
            <Button busy={busy === 'passkey' && 'Waiting for your device…'} disabled={!!busy} onClick={() => void byPasskey()}>
              Sign in with a passkey
            </Button>
          </li>
        )}
        {passkeys && ways.data.url !== location.origin && (
          <li className="text-13 text-ink-2">
            With a passkey only at{' '}
            <a className={LINK} href={`${ways.data.url}${back}`}>
              {ways.data.url}
            </a>
          </li>
        )}
      </ul>
      {mail && <ByMail path="/v1/page/mail" label="E-mail address" text="Send me a link" />}
      {error && (
        <div className="mt-3">
          <Failure message={error.message} code={error.refused.code} />
        </div>
      )}
    </>
  );
}

type ByMailProps = { path: string; label: string; text: string };

/** Asks for a link by e-mail. The answer is the same for every address, so that nobody learns who is here. */
export function ByMail({ path, label, text }: ByMailProps) {
  const [address, setAddress] = useState('');
  const [sent, setSent] = useState('');
  const [error, setError] = useState<ApiError | null>(null);

  async function ask(event: FormEvent) {
    event.preventDefault();
    setError(null);
    setSent('');
    try {
      await post(path, { address });
      setSent(address);
    } catch (refused) {
      setError(refused as ApiError);
    }
  }

  return (
    <form onSubmit={ask} className="my-4 max-w-[400px]">
      <Field label={label}>
        <input
          required
          type="email"
          autoComplete="email"
          maxLength={254}
          value={address}
          onChange={(event) => setAddress(event.target.value)}
          className={INPUT}
        />
      </Field>
      <Button type="submit" className="mt-2">
        {text}
      </Button>
      <p role="status" className="mt-2 text-13 text-ink-2 empty:hidden">
        {sent && `If ${sent} may be used here, a link is on its way to it. Open it in this browser, within ten minutes.`}
      </p>
      {error && <Failure message={error.message} code={error.refused.code} />}
    </form>
  );
}

/** The browser made no passkey, or signed with none: nobody's fault, and said as such. */
export function unsigned(error: unknown): never {
  const name = error instanceof Error ? error.name : '';
  const message =
    name === 'InvalidStateError'
      ? 'This device has a passkey of yours for this installation already.'
      : 'Your browser or device gave no passkey: it has none for this installation, or you or it said no. Try again, or sign in another way.';
  throw new ApiError({ code: 'ways.no_signature', kind: 'forbidden', message }, 0);
}

/** How this place is called in one's own list of where one is signed in. */
export function browser(): string {
  const agent = navigator.userAgent;
  const name = /Firefox/.test(agent) ? 'Firefox' : /Edg\//.test(agent) ? 'Edge' : /Chrome\//.test(agent) ? 'Chrome' : /Safari\//.test(agent) ? 'Safari' : 'A browser';
  const on = /Android/.test(agent) ? 'Android' : /iPhone|iPad/.test(agent) ? 'iOS' : /Mac/.test(agent) ? 'macOS' : /Win/.test(agent) ? 'Windows' : 'Linux';
  return `${name} on ${on}`;
}
