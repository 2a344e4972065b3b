/** Where a provider sends the browser back to. Opening it changes nothing; what it then posts signs in, or links. */
import { useQuery } from '@tanstack/react-query';
import { useEffect } from 'react';
import { Failure, LINK } from '../parts/controls';
import { Mark } from '../parts/marks';
import { ApiError, post } from './api';
import { LINKING } from './Ways';

const ASKED = Object.fromEntries(new URLSearchParams(location.search));
const TO = sessionStorage.getItem(LINKING);

export function SignedInPage() {
  const done = useQuery({ queryKey: ['signed-in'], queryFn: finish, retry: false, staleTime: Infinity });
  useEffect(() => {
    if (done.data) location.replace(done.data);
  }, [done.data]);
  const linking = TO !== null;
  return (
    <main className="mx-auto max-w-[400px] px-4 pt-24">
      <Mark />
      <h1 className="mt-5 mb-3 text-27 font-450 tracking-[-0.012em]">
        {!done.error ? (linking ? 'Linking…' : 'Signing in…') : linking ? 'That was not linked.' : 'You are not signed in.'}
      </h1>
      {done.error instanceof ApiError && <Failure message={done.error.message} code={done.error.refused.code} />}
      {done.error && (
        <p className="mt-4">
          <a className={LINK} href={TO ?? '/'}>
            Back
          </a>
        </p>
      )}
    </main>
  );
}

/** Where to go on. The answer of the provider is used once and does not stay in the address. */
async function finish(): Promise<string> {
  history.replaceState(null, '', '/signed-in');
  sessionStorage.removeItem(LINKING);
  const body = { code: ASKED.code ?? '', state: ASKED.state ?? '', iss: ASKED.iss ?? null, error: ASKED.error ?? null };
  if (TO !== null) {
    await post('/v1/ways-in/finish', body);
    return TO.startsWith('/n/') ? TO : '/';
  }
  return (await post<{ back: string }>('/v1/page/ways/finish', body)).back;
}
