/** What somebody sees who is not in a network yet: how their request stands, a way to take it back, and their own data. */
import { useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { Button, Failure, LINK } from '../parts/controls';
import { Mark } from '../parts/marks';
import { moment } from '../parts/words';
import { ApiError, drop, type Asked, post } from './api';
import { YourData } from './YourData';

export function AskedPage({ asked, name, elsewhere }: { asked: Asked[]; name: string; elsewhere: boolean }) {
  return (
    <main className="mx-auto max-w-[560px] px-4 pt-16 pb-16">
      <Mark />
      {asked.map((one, at) => (
        <Request key={one.network} one={one} name={name} first={at === 0} />
      ))}
      <p className="mb-9 flex flex-wrap gap-x-5 text-13">
        {elsewhere && (
          <a className={LINK} href="/">
            Your networks
          </a>
        )}
        <button type="button" className={LINK} onClick={() => void signOut()}>
          Sign out here
        </button>
      </p>
      <YourData />
    </main>
  );
}

async function signOut() {
  await post('/v1/page/sign-out');
  location.assign('/');
}

function Request({ one, name, first }: { one: Asked; name: string; first: boolean }) {
  const queries = useQueryClient();
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<ApiError | null>(null);
  async function withdraw() {
    setBusy(true);
    setError(null);
    try {
      await drop(`/v1/me/networks/${one.network}`);
    } catch (refused) {
      setError(refused as ApiError);
    }
    await queries.invalidateQueries({ queryKey: ['me'] });
    setBusy(false);
  }
  const Heading = first ? 'h1' : 'h2';
  return (
    <section className="mt-5 mb-6">
      <Heading aria-live="polite" className={`mb-3 font-450 tracking-[-0.012em] wrap-anywhere ${first ? 'text-27' : 'text-21'}`}>
        {title(one)}
      </Heading>
      {one.state === 'refused' && one.why && <blockquote className="mb-3 border-l-2 border-line pl-3 wrap-anywhere text-ink-2">{one.why}</blockquote>}
      <p className="mb-4 text-ink-2">{next(one, name)}</p>
      {error && <Failure message={error.message} code={error.refused.code} />}
      {one.state === 'pending' && (
        <Button busy={busy && 'Withdrawing…'} onClick={() => void withdraw()}>
          Withdraw
        </Button>
      )}
    </section>
  );
}

function title(one: Asked): string {
  switch (one.state) {
    case 'pending':
      return `You wait to be let into ${one.name}.`;
    case 'refused':
      return `You were not let into ${one.name}.`;
    case 'expired':
      return `Nobody answered you at ${one.name}.`;
    default:
      return `You no longer wait for ${one.name}.`;
  }
}

function next(one: Asked, name: string): string {
  if (one.state !== 'pending') return 'To ask again, you need a fresh invite from one of its admins.';
  return `One of its admins has to say yes to ${name}. Until then you see nothing of it, and it runs nothing for you. This page goes on by itself. The request lasts until ${moment(one.until_ms)}.`;
}
