/** What stands around every page: where one is, whether it is live, who one is. */
import { useQueryClient } from '@tanstack/react-query';
import { Link, Navigate, Outlet, useNavigate } from '@tanstack/react-router';
import { createContext, lazy, type ReactNode, Suspense, useContext, useEffect, useRef, useState } from 'react';
import { Button, Failure, LINK, Pick } from '../parts/controls';
import { Mark } from '../parts/marks';
import { Undoing } from '../parts/Undo';
import { clock, moment } from '../parts/words';
import { ApiError, type Me, post } from './api';
import { type Live, useLive, useMe, useNetwork } from './data';
import { type Back, WaysToEnter } from './Ways';

const PAGES = [
  { to: '/n/$network', label: 'Devices', key: 'd', draw: 'M2 5h14M2 9h14M2 13h14M6 3v4M12 7v8' },
  { to: '/n/$network/members', label: 'Members', key: 'm', draw: 'M9 8.5a3 3 0 1 0 0-6 3 3 0 0 0 0 6ZM3 16c0-3.5 2.6-5 6-5s6 1.5 6 5' },
  { to: '/n/$network/jobs', label: 'Jobs', key: 'j', draw: 'M1 9h4l2.5-6 4 12L14 9h3' },
  { to: '/n/$network/ledger', label: 'Ledger', key: 'l', draw: 'M9 2v14M9 6h6M9 11H4' },
  { to: '/n/$network/settings', label: 'Settings', key: 's', draw: 'M2 5h7m4 0h3M2 13h3m4 0h7M11 3v4M7 11v4' },
] as const;

/** Pages that have no place in the bar, and are found by name. */
const MORE = [
  { to: '/n/$network/policy', label: 'Policy' },
  { to: '/n/$network/audit', label: 'What admins decided' },
] as const;
const REVIEW = { to: '/n/$network/review', label: 'Review' } as const;
const loadFind = () => import('./Find');
const Find = lazy(async () => ({ default: (await loadFind()).Find }));
const AskedPage = lazy(async () => ({ default: (await import('./Asked')).AskedPage }));
/** Fetched a little after the page, so that no key is lost between `/` and the first letter. */
const FIND_AFTER_MS = 1500;

const LiveNow = createContext<Live>({ state: 'catching up' });
export const useLiveNow = () => useContext(LiveNow);

export function Frame() {
  const me = useMe();
  const network = useNetwork();
  const here = me.data?.networks.find((one) => one.network === network);
  if (me.error instanceof ApiError && me.error.status === 401) return <Closed />;
  if (me.data && !here) {
    const asked = me.data.asked.filter((one) => one.network === network);
    return asked.length ? <Waits me={me.data} asked={asked} /> : <Nowhere />;
  }
  return <Inside me={me.data} />;
}

function Inside({ me }: { me: Me | undefined }) {
  const network = useNetwork();
  const live = useLive(network, !!me);
  const [finding, setFinding] = useState(false);
  const admin = me?.networks.find((one) => one.network === network)?.role === 'admin';
  useEffect(() => {
    const timer = setTimeout(() => void loadFind(), FIND_AFTER_MS);
    return () => clearTimeout(timer);
  }, []);
  useKeys(network, () => setFinding(true));
  return (
    <LiveNow.Provider value={live}>
      <Undoing>
      <a href="#main" className="sr-only focus:not-sr-only focus:absolute focus:top-2 focus:left-2 focus:z-30 focus:bg-raised focus:p-2">
        Skip to the page
      </a>
      <header className="sticky top-0 z-10 border-b border-line bg-ground">
        <div className="mx-auto flex h-[52px] max-w-[1440px] items-center gap-3 px-4 wide:px-7">
          <Mark />
          <Networks me={me} />
          <nav aria-label="Pages" className="ml-4 hidden h-full wide:flex">
            {PAGES.map((page) => (
              <Link
                key={page.to}
                to={page.to}
                params={{ network }}
                activeOptions={{ exact: page.label === 'Devices' }}
                className="grid place-items-center border-b-2 border-transparent px-3 text-14 text-ink-2 hover:text-ink aria-[current]:border-ink aria-[current]:font-600 aria-[current]:text-ink"
              >
                {page.label}
              </Link>
            ))}
          </nav>
          <span className="ml-auto flex items-center gap-4 text-13">
            <button
              type="button"
              aria-label="Find"
              aria-keyshortcuts="/"
              onClick={() => setFinding(true)}
              className="inline-flex h-[28px] items-center gap-2 text-ink-2 hover:text-ink pointer-coarse:h-[44px]"
            >
              <svg viewBox="0 0 18 18" className="size-[16px] fill-none stroke-current wide:hidden" strokeWidth="1.6" aria-hidden="true">
                <path d="M8 13A5 5 0 1 0 8 3a5 5 0 0 0 0 10Zm3.5-1.5L16 16" />
              </svg>
              <span className="max-wide:hidden">Find</span>
              <kbd className="rounded-4 border border-line bg-sunken px-1.5 text-12 max-wide:hidden">/</kbd>
            </button>
            <Chip live={live} />
            <Person me={me} />
          </span>
        </div>
      </header>
      {live.state === 'stopped' && <Away since={live.since} />}
      {me?.asked.filter((one) => one.state === 'pending').map((one) => <InQueue key={one.network} network={one.network} name={one.name} />)}
      {me?.deletion_due_ms != null && <Going due={me.deletion_due_ms} network={network} />}
      <main id="main" className="mx-auto max-w-[1440px] px-4 pt-7 pb-28 wide:px-7 wide:pt-9">
        <Outlet />
      </main>
      <nav aria-label="Pages" className="fixed inset-x-0 bottom-0 z-10 flex border-t border-line bg-ground pb-[env(safe-area-inset-bottom)] wide:hidden">
        {PAGES.map((page) => (
          <Link
            key={page.to}
            to={page.to}
            params={{ network }}
            activeOptions={{ exact: page.label === 'Devices' }}
            className="grid h-[56px] flex-1 place-content-center justify-items-center gap-1 text-12 text-ink-2 aria-[current]:font-600 aria-[current]:text-ink"
          >
            <svg viewBox="0 0 18 18" className="size-[18px] fill-none stroke-current" strokeWidth="1.6" aria-hidden="true">
              <path d={page.draw} />
            </svg>
            {page.label}
          </Link>
        ))}
      </nav>
      {finding && (
        <Suspense>
          <Find pages={[...PAGES, ...MORE, ...(admin ? [REVIEW] : [])]} close={() => setFinding(false)} />
        </Suspense>
      )}
      </Undoing>
    </LiveNow.Provider>
  );
}

function Networks({ me }: { me: Me | undefined }) {
  const network = useNetwork();
  const navigate = useNavigate();
  const name = me?.networks.find((one) => one.network === network)?.name ?? '';
  if (!me || me.networks.length < 2) return <b className="text-15 whitespace-nowrap">{name}</b>;
  return (
    <span className="font-600">
      <Pick
        bare
        name="Network"
        value={network}
        onChange={(next) => void navigate({ to: '/n/$network', params: { network: next } })}
        options={me.networks.map((one) => ({ value: one.network, label: one.name }))}
      />
    </span>
  );
}

function Chip({ live }: { live: Live }) {
  const words = live.state === 'stopped' ? `Not live since ${clock(live.since).slice(0, 5)}` : live.state === 'live' ? 'Live' : 'Catching up';
  const ink = live.state === 'live' ? 'stroke-live' : live.state === 'stopped' ? 'stroke-warn' : 'stroke-ink-3';
  return (
    <span className="inline-flex items-center gap-2 whitespace-nowrap text-ink-2" aria-live="polite">
      <svg className="h-[4px] w-[14px]" aria-hidden="true">
        <path d="M0 2h14" strokeWidth="2.5" strokeDasharray={live.state === 'live' ? undefined : '3 2'} className={ink} />
      </svg>
      {words}
    </span>
  );
}

function Person({ me }: { me: Me | undefined }) {
  const queries = useQueryClient();
  if (!me) return null;
  async function leave() {
    await post('/v1/page/sign-out');
    queries.clear();
    location.assign('/');
  }
  return (
    <details className="relative">
      <summary
        aria-label={`You, ${me.name}`}
        className="grid size-[28px] cursor-pointer list-none place-items-center rounded-full border border-line bg-sunken text-12 font-600 pointer-coarse:size-[44px]"
      >
        {initials(me.name)}
      </summary>
      <div className="absolute right-0 z-20 mt-2 w-[220px] rounded-10 border border-line bg-raised p-3 shadow-float">
        <p className="font-600 break-words">{me.name}</p>
        {me.operator && <p className="text-12 text-ink-3">claimed this installation</p>}
        <Button className="mt-3 w-full" onClick={leave}>
          Sign out here
        </Button>
      </div>
    </details>
  );
}

function initials(name: string): string {
  const words = name.trim().split(/\s+/);
  return [...(words[0] ?? '')].slice(0, words.length > 1 ? 1 : 2).join('').toUpperCase() + ([...(words.at(-1) ?? '')][0] ?? '').toUpperCase().slice(0, words.length > 1 ? 1 : 0);
}

function Away({ since }: { since: number }) {
  const queries = useQueryClient();
  return (
    <div role="status" className="border-b border-warn bg-warn-wash">
      <p className="mx-auto flex max-w-[1440px] flex-wrap gap-x-4 px-4 py-2.5 text-14 wide:px-7">
        <span className="flex-1">
          <b>The coordinator has not answered since {clock(since)}.</b> Devices go on with the permits they hold. What is shown here
          stopped then.
        </span>
        <button type="button" className={LINK} onClick={() => void queries.invalidateQueries()}>
          Ask now
        </button>
      </p>
    </div>
  );
}

/** One's account is about to go: seen on every page, as somebody else may have asked. */
function Going({ due, network }: { due: number; network: string }) {
  return (
    <div role="status" className="border-b border-warn bg-warn-wash">
      <p className="mx-auto flex max-w-[1440px] flex-wrap gap-x-4 px-4 py-2.5 text-14 wide:px-7">
        <span className="flex-1">
          <b>Your account goes on {moment(due)}.</b> Did you not ask for that? Keep it, and end the sign-ins that you do not know.
        </span>
        <Link to="/n/$network/settings" params={{ network }} hash="your-data" className={LINK}>
          Look at it
        </Link>
      </p>
    </div>
  );
}

/** A request of one's own in another network. */
function InQueue({ network, name }: { network: string; name: string }) {
  return (
    <p role="status" className="mx-auto flex max-w-[1440px] flex-wrap gap-x-4 border-b border-line px-4 py-2 text-13 text-ink-2 wide:px-7">
      <span>You wait to be let into {name}.</span>
      <a href={`/n/${network}`} className={LINK}>
        How it stands
      </a>
    </p>
  );
}

function Waits({ me, asked }: { me: Me; asked: Me['asked'] }) {
  return (
    <Suspense>
      <AskedPage asked={asked} name={me.name} elsewhere={me.networks.length > 0} />
    </Suspense>
  );
}

/** `g d`, `g m`, …: pages by key; `/` finds. */
function useKeys(network: string, find: () => void) {
  const navigate = useNavigate();
  const armed = useRef(0); // outlives what is drawn anew between the two keys
  useEffect(() => {
    function pressed(event: KeyboardEvent) {
      const target = event.target as HTMLElement;
      if (event.ctrlKey || event.metaKey || event.altKey || target.closest('input, textarea, select, [role=dialog], [role=alertdialog]')) return;
      if (event.key === '/') {
        event.preventDefault();
        find();
        return;
      }
      if (event.key === 'g') {
        armed.current = event.timeStamp;
        return;
      }
      const page = event.timeStamp - armed.current < 1500 && PAGES.find((one) => one.key === event.key);
      armed.current = 0;
      if (page) void navigate({ to: page.to, params: { network } });
    }
    addEventListener('keydown', pressed);
    return () => removeEventListener('keydown', pressed);
  });
}

/** The sentence that a page opens with. */
export function Sentence({ children, below }: { children: ReactNode; below?: ReactNode }) {
  return (
    <div className="mb-6">
      <h1 aria-live="polite" className="max-w-[34em] text-21 font-450 tracking-[-0.012em] wide:text-27 wide:leading-[35px]">
        {children}
      </h1>
      {below && <p className="mt-2 max-w-[62em] text-13 text-ink-2">{below}</p>}
    </div>
  );
}

/** Words for a part that is not there yet, after a moment; and a way out where it failed. */
export function Waiting({ error, what }: { error: unknown; what: string }) {
  const [late, setLate] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setLate(true), 400);
    return () => clearTimeout(timer);
  }, []);
  if (error instanceof ApiError) return <Failure title={`${what} cannot be shown.`} message={error.message} code={error.refused.code} />;
  if (error) throw error;
  return <p className="text-13 text-ink-3">{late ? 'Asking the coordinator…' : ''}&nbsp;</p>;
}

export function First() {
  const me = useMe();
  if (me.error instanceof ApiError && me.error.status === 401) return <Closed />;
  const network = me.data?.networks[0]?.network;
  if (network) return <Navigate to="/n/$network" params={{ network }} replace />;
  if (!me.data) {
    return (
      <main className="p-7">
        <Waiting error={me.error} what="This page" />
      </main>
    );
  }
  if (me.data.asked.length && !me.data.operator) return <Waits me={me.data} asked={me.data.asked} />;
  return <Make me={me.data} />;
}

/** Somebody who is in no network: the operator makes one, everybody else is told whom to ask. */
function Make({ me }: { me: Me }) {
  const queries = useQueryClient();
  const [name, setName] = useState('home');
  const [error, setError] = useState<ApiError | null>(null);
  async function make() {
    setError(null);
    try {
      await post('/v1/networks', { name });
      await queries.invalidateQueries({ queryKey: ['me'] });
    } catch (refused) {
      setError(refused as ApiError);
    }
  }
  return (
    <main className="mx-auto max-w-[400px] px-4 pt-24">
      <Mark />
      <h1 className="mt-5 mb-3 text-27 font-450">{me.operator ? 'What is your network called?' : 'You are in no network yet.'}</h1>
      {me.operator ? (
        <form
          onSubmit={(event) => {
            event.preventDefault();
            void make();
          }}
        >
          <label className="block">
            <span className="mb-1 block text-13 font-600">Name</span>
            <input value={name} onChange={(event) => setName(event.target.value)} className="mb-3 h-[36px] w-full rounded-6 border border-edge bg-raised px-2.5" />
          </label>
          {error && <Failure message={error.message} code={error.refused.code} />}
          <Button look="primary" type="submit" className="mt-2">
            Make it
          </Button>
        </form>
      ) : (
        <p className="text-ink-2">Ask an admin of a network for an invite.</p>
      )}
    </main>
  );
}

export function Closed({ back = '/' }: { back?: Back }) {
  return (
    <main className="mx-auto max-w-[400px] px-4 pt-24">
      <Mark />
      <h1 className="mt-5 mb-3 text-27 font-450 tracking-[-0.012em]">You are not signed in here.</h1>
      <WaysToEnter back={back} />
      <p className="mt-4 mb-4 text-ink-2">Follow the link that you were sent. On a machine where you are signed in, this makes one that works once:</p>
      <p className="rounded-8 bg-sunken px-3 py-2">
        <code className="text-13">mesh web</code>
      </p>
    </main>
  );
}

export function Nowhere() {
  return (
    <main className="mx-auto max-w-[400px] px-4 pt-24">
      <Mark />
      <h1 className="mt-5 mb-3 text-27 font-450">There is nothing here, or it is not yours to see.</h1>
      <p>
        <a className={LINK} href="/">
          Your networks
        </a>
      </p>
    </main>
  );
}
