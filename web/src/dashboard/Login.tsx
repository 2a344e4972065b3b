/** The page where a person signs a command line in: its code is typed, never prefilled, and who asks is shown first. */
import { type FormEvent, useState } from 'react';
import { Button, Failure, Field, INPUT } from '../parts/controls';
import { Mark } from '../parts/marks';
import { clock } from '../parts/words';
import { ApiError, post } from './api';
import { useMe } from './data';
import { Closed, Waiting } from './Frame';

type Shown = {
  label: string;
  admin: boolean;
  secret_sha256: string;
  address: string | null;
  your_address: string | null;
  elsewhere: boolean;
  asked_ms: number;
  expires_ms: number;
  name: string;
};

export function LoginPage() {
  const me = useMe();
  if (me.error instanceof ApiError && me.error.status === 401) return <Closed back="/device" />;
  return (
    <main className="mx-auto max-w-[440px] px-4 pt-16 pb-16">
      <Mark />
      {me.data ? <Asked name={me.data.name} /> : <Waiting error={me.error} what="This page" />}
    </main>
  );
}

function Asked({ name }: { name: string }) {
  const [code, setCode] = useState('');
  const [shown, setShown] = useState<Shown | null>(null);
  const [said, setSaid] = useState('');
  const [error, setError] = useState<ApiError | null>(null);

  async function look(event: FormEvent) {
    event.preventDefault();
    setError(null);
    try {
      setShown(await post<Shown>('/v1/logins/look', { code }));
    } catch (refused) {
      setError(refused as ApiError);
    }
  }

  if (said) return <Heading text={said} below="You can close this page. Settings lists where you are signed in, and ends it." />;
  if (shown) return <Question shown={shown} code={code} done={setSaid} back={() => setShown(null)} />;
  return (
    <form onSubmit={look}>
      <Heading text="Sign a command line in" below={`It will be signed in as ${name}. On that machine, mesh auth login shows a code.`} />
      <Field label="Its code" hint="Nine letters and digits, like KXP-T9R-4MQ.">
        <input
          required
          autoComplete="off"
          autoCapitalize="characters"
          spellCheck={false}
          maxLength={64}
          value={code}
          onChange={(event) => setCode(event.target.value)}
          className={`${INPUT} font-code uppercase`}
        />
      </Field>
      {error && (
        <div className="mt-3">
          <Failure message={error.message} code={error.refused.code} />
        </div>
      )}
      <Button look="primary" type="submit" className="mt-4">
        See who asks
      </Button>
    </form>
  );
}

type QuestionProps = { shown: Shown; code: string; done: (said: string) => void; back: () => void };

function Question({ shown, code, done, back }: QuestionProps) {
  const [sure, setSure] = useState(false);
  const [error, setError] = useState<ApiError | null>(null);
  const [busy, setBusy] = useState(false);

  async function say(path: string, body: object, words: string) {
    setBusy(true);
    setError(null);
    try {
      await post(path, { code, ...body });
      done(words);
    } catch (refused) {
      setError(refused as ApiError);
      setBusy(false);
    }
  }

  const where = shown.address ?? 'an address that the proxy before the coordinator hides';
  return (
    <>
      <Heading text={`Sign ${shown.label} in as ${shown.name}?`} />
      <dl className="grid grid-cols-[96px_minmax(0,1fr)] gap-y-1.5 text-14">
        <dt className="text-ink-3">It says</dt>
        <dd className="break-words">{shown.label}</dd>
        <dt className="text-ink-3">Asks from</dt>
        <dd className="break-all">
          {where}
          {shown.address && !shown.elsewhere && (shown.address === shown.your_address ? ', as you do' : ', near you')}
        </dd>
        <dt className="text-ink-3">Asked</dt>
        <dd>
          at {clock(shown.asked_ms)}, the code works until {clock(shown.expires_ms)}
        </dd>
        <dt className="text-ink-3">It may</dt>
        <dd>
          run jobs in your name and at your cost, and see what you may see, until you end it in Settings.{' '}
          {shown.admin ? <b>For ten minutes also what only admins may.</b> : 'Nothing that only admins may.'}
        </dd>
      </dl>
      <p className="mt-4 border-l-2 border-line pl-3 text-14 font-600">Say yes only if you started this yourself, on that machine, just now.</p>
      {shown.elsewhere && (
        <label className="mt-4 flex items-start gap-2 text-14">
          <input type="checkbox" checked={sure} onChange={(event) => setSure(event.target.checked)} className="mt-1 size-[16px] accent-ink" />
          <span>
            It asks from elsewhere: you are at {shown.your_address ?? 'an address that a proxy hides'}. I know that machine, and started this on
            it.
          </span>
        </label>
      )}
      {error && (
        <div className="mt-4">
          <Failure message={error.message} code={error.refused.code} />
        </div>
      )}
      <div className="mt-5 flex flex-wrap gap-2">
        <Button
          look="primary"
          disabled={shown.elsewhere && !sure}
          busy={busy && 'Signing in…'}
          onClick={() =>
            void say('/v1/logins/confirm', { secret_sha256: shown.secret_sha256, elsewhere: sure }, `${shown.label} is signed in within seconds.`)
          }
        >
          Sign it in
        </Button>
        <Button onClick={() => void say('/v1/logins/refuse', {}, `${shown.label} was refused, and is told so.`)}>Refuse it</Button>
        <Button look="quiet" onClick={back}>
          Another code
        </Button>
      </div>
    </>
  );
}

function Heading({ text, below }: { text: string; below?: string }) {
  return (
    <>
      <h1 className="mt-5 mb-3 text-27 font-450 tracking-[-0.012em] break-words">{text}</h1>
      {below && <p className="mb-4 text-ink-2">{below}</p>}
    </>
  );
}
