/** Settings: one's own ways in beside links. The last one stays. */
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { Button, Failure, LINK } from '../parts/controls';
import { moment } from '../parts/words';
import { ApiError, drop, get, post } from './api';
import { browser, ByMail, LINKING, unsigned, useWays } from './Ways';

type Way = { way: string; issuer: string; label: string; created_ms: number; used_ms: number | null; works: boolean };

export function WaysIn() {
  const queries = useQueryClient();
  const ways = useWays();
  const mine = useQuery({ queryKey: ['ways-in'], queryFn: async () => (await get<{ ways: Way[] }>('/v1/ways-in')).ways });
  const [error, setError] = useState<ApiError | null>(null);
  const [busy, setBusy] = useState('');

  async function act(what: string, doing: () => Promise<unknown>) {
    setBusy(what);
    setError(null);
    try {
      await doing();
      await queries.invalidateQueries({ queryKey: ['ways-in'] });
    } catch (refused) {
      setError(refused as ApiError);
    }
    setBusy('');
  }

  async function link(way: string) {
    const { url } = await post<{ url: string }>('/v1/ways-in/start', { way });
    sessionStorage.setItem(LINKING, location.pathname);
    location.assign(url);
  }

  async function addPasskey() {
    const { startRegistration } = await import('@simplewebauthn/browser');
    const optionsJSON = await post<Parameters<typeof startRegistration>[0]['optionsJSON']>('/v1/ways-in/passkeys/begin');
    const credential = await startRegistration({ optionsJSON }).catch(unsigned);
    await post('/v1/ways-in/passkeys/finish', { credential, label: browser() });
  }

  const here = ways.data?.url === location.origin;
  return (
    <section className="border-t border-line py-6">
      <h2 className="text-15 font-600">How you sign in</h2>
      <p className="mt-1 max-w-[62em] text-13 text-ink-2">
        Beside links (mesh auth link, mesh web), which always work. What is linked here signs in as you.
      </p>
      <ul className="mt-3">
        {mine.data?.map((one) => (
          <li key={one.way} className="flex items-center gap-4 border-b border-line py-2 text-13">
            <span className="min-w-0 flex-1 break-words">
              {one.label} <span className="text-ink-3">· {issuer(one, ways.data?.providers)}</span>
              <span className="block text-12 text-ink-3">
                since {moment(one.created_ms)}
                {one.used_ms !== null && `, last used ${moment(one.used_ms)}`}
                {!one.works && ', not set up here any more'}
              </span>
            </span>
            <Button small look="quiet" busy={busy === one.way && 'Removing…'} onClick={() => void act(one.way, () => drop(`/v1/ways-in/${one.way}`))}>
              Remove
            </Button>
          </li>
        ))}
      </ul>
      {mine.data?.length === 0 && <p className="mt-3 text-13 text-ink-3">Nothing yet.</p>}
      <div className="mt-3 flex flex-wrap gap-2">
        {ways.data?.providers.map((one) => (
          <Button key={one.way} busy={busy === `+${one.way}` && `To ${one.title}…`} onClick={() => void act(`+${one.way}`, () => link(one.way))}>
            Link {one.title}
          </Button>
        ))}
        {ways.data?.passkeys && here && (
          <Button busy={busy === '+passkey' && 'Waiting for your device…'} onClick={() => void act('+passkey', addPasskey)}>
            Add a passkey
          </Button>
        )}
      </div>
      {ways.data?.mail && <ByMail path="/v1/ways-in/mail" label="Sign in by e-mail, too" text="Link this address" />}
      {ways.data && !(ways.data.passkeys && here) && (
        <p className="mt-3 max-w-[62em] text-13 text-ink-2">
          {ways.data.passkeys ? (
            <>
              Passkeys belong to a name: add one at{' '}
              <a className={LINK} href={`${ways.data.url}${location.pathname}`}>
                {ways.data.url}
              </a>
              .
            </>
          ) : (
            <>
              No passkeys here: they belong to a name, and this installation is reached by an address. Its operator can give it one:{' '}
              <code className="whitespace-nowrap">mesh serve --public-url https://NAME</code>, or http://localhost:PORT for this machine alone.
            </>
          )}
        </p>
      )}
      {error && (
        <div className="mt-3">
          <Failure message={error.message} code={error.refused.code} />
        </div>
      )}
    </section>
  );
}

function issuer(way: Way, providers: { way: string; title: string }[] = []): string {
  if (way.issuer === 'passkey') return 'a passkey';
  if (way.issuer === 'mailto:') return 'by e-mail';
  if (way.issuer.includes('github')) return 'GitHub';
  return providers.find((one) => one.way === 'oidc')?.title ?? way.issuer.replace(/^https?:\/\//, '');
}
