/** The agent's page: it names the device, says who serves it, and never looks like the dashboard under another title. */
import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { Failure, LINK } from '../parts/controls';
import { Glyph, Mark, type State } from '../parts/marks';
import { about, AgentError, ask, type Peer, type Status } from './client';
import { Aside, DevicePage } from './Device';
import { Models } from './Models';
import type { Entry } from './entries';
import { Try } from './Try';

const TABS = [
  { id: 'try', label: 'Try' },
  { id: 'device', label: 'This device' },
  { id: 'models', label: 'Models' },
] as const;
type Tab = (typeof TABS)[number]['id'];

export function App() {
  const [tab, setTab] = useState<Tab>('try');
  const [entries, setEntries] = useState<Entry[]>([]);
  const here = useQuery({ queryKey: ['about'], queryFn: about, staleTime: Infinity });
  const status = useQuery({ queryKey: ['status'], queryFn: () => ask<Status>({ c: 'getstatus' }), refetchInterval: 2000 });
  const peers = useQuery({
    queryKey: ['peers'],
    queryFn: async () => (await ask<{ peers: Peer[] }>({ c: 'getpeers' })).peers,
    refetchInterval: 2000,
  });
  const error = status.error ?? here.error;
  if (error instanceof AgentError && error.refused.kind === 'unauthenticated') return <Closed message={error.message} />;
  const device = status.data;
  return (
    <>
      <header className="sticky top-0 z-10 border-b border-line bg-ground">
        <div className="mx-auto flex h-[52px] max-w-[1440px] items-center gap-3 px-4 wide:px-7">
          <Mark />
          <b className="text-15">{device?.name ?? 'This device'}</b>
          <span className="text-13 text-ink-3">your agent</span>
          <Tabs tab={tab} setTab={setTab} className="ml-5 hidden h-full wide:flex" />
          <span className="ml-auto hidden text-13 text-ink-2 wider:block">Served by this machine only, {location.host}</span>
          {here.data?.dashboard && (
            <a className={`ml-auto text-13 wider:ml-3 ${LINK}`} href={here.data.dashboard} target="_blank" rel="noreferrer">
              {here.data.network_name || 'network'} ↗
            </a>
          )}
        </div>
      </header>
      <div className="mx-auto grid max-w-[1440px] gap-x-12 gap-y-9 px-4 pt-7 pb-24 wide:px-7 wider:grid-cols-[minmax(0,1fr)_340px]">
        <main className="min-w-0">
          {error && <AwayNotice message={error.message} code={error instanceof AgentError ? error.refused.code : ''} />}
          {device?.notice && (
            <p className="mb-5 flex items-center gap-2 border-l-2 border-warn bg-warn-wash px-4 py-2 text-14">
              <Glyph state="pending" /> {device.notice}
            </p>
          )}
          <div hidden={tab !== 'try'}>
            <Try
              entries={entries}
              setEntries={setEntries}
              status={device}
              peers={peers.data ?? []}
              workloads={here.data?.workloads ?? []}
              dashboard={here.data?.dashboard ?? ''}
            />
          </div>
          {tab === 'device' && device && <DevicePage status={device} peers={peers.data ?? []} />}
          {tab === 'models' && device && <Models status={device} />}
        </main>
        {device && here.data && (
          <div className={tab === 'device' ? '' : 'max-wide:hidden'}>
            <Aside status={device} peers={peers.data ?? []} entries={entries} about={here.data} state={stateOf(device)} />
          </div>
        )}
      </div>
      <nav aria-label="Parts of this page" className="fixed inset-x-0 bottom-0 border-t border-line bg-ground wide:hidden">
        <Tabs tab={tab} setTab={setTab} className="flex h-[56px] justify-around" />
      </nav>
    </>
  );
}

export function stateOf(status: Status): State {
  const state = status.condition.state;
  if (state === 'paused' || state === 'draining') return state;
  if (status.link === 'down') return 'offline';
  return (status.jobs_here ?? 0) > 0 ? 'busy' : 'ready';
}

function Tabs({ tab, setTab, className }: { tab: Tab; setTab: (tab: Tab) => void; className: string }) {
  return (
    <div className={className}>
      {TABS.map(({ id, label }) => (
        <button
          key={id}
          type="button"
          aria-current={tab === id ? 'page' : undefined}
          onClick={() => setTab(id)}
          className="border-b-2 border-transparent px-3 text-14 text-ink-2 hover:text-ink aria-[current]:border-ink aria-[current]:font-600 aria-[current]:text-ink max-wide:border-b-0"
        >
          {label}
        </button>
      ))}
    </div>
  );
}

function AwayNotice({ message, code }: { message: string; code: string }) {
  return (
    <div className="mb-7">
      <Failure title="This page hears nothing from the agent." message={message} code={code} />
    </div>
  );
}

/** Whoever comes without a key learns how to get one, and nothing else. */
export function Closed({ message }: { message?: string }) {
  return (
    <main className="mx-auto max-w-[400px] px-4 pt-24">
      <Mark />
      <h1 className="mt-5 mb-3 text-27 font-450 tracking-[-0.012em]">This page is closed.</h1>
      <p className="mb-4 text-ink-2">{message ?? 'It opens with a link that works once, made on this machine:'}</p>
      <p className="rounded-8 bg-sunken px-3 py-2">
        <code className="text-13">mesh ui</code>
      </p>
    </main>
  );
}
