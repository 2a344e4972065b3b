/** Devices: the sentence, the picture, who waits, and what happened lately. */
import { Link, useNavigate } from '@tanstack/react-router';
import { lazy, Suspense, useEffect, useState } from 'react';
import { Button, LINK, Segment } from '../parts/controls';
import type { Device } from './api';
import { useMe, useNetwork, usePicture, useNames } from './data';
import { Sentence, Waiting } from './Frame';
import { devicesSentence } from './sentences';
import { Approve } from './Approve';
import { DevicePanel } from './DevicePanel';
import { useNarrow } from '../parts/narrow';
import { DeviceTable } from './DeviceTable';
import { Lately } from './Lately';
import { Live } from './LivePicture';

const AddDevice = lazy(() => import('./AddDevice').then((all) => ({ default: all.AddDevice })));
const WINDOWS = [
  { value: '60', label: '1 min' },
  { value: '900', label: '15 min' },
] as const;

export function DevicesPage() {
  const network = useNetwork();
  const navigate = useNavigate();
  const narrow = useNarrow();
  const [seconds, setSeconds] = useState<'60' | '900'>('60');
  const [table, setTable] = useState(false);
  const [adding, setAdding] = useState(false);
  const [paused, setPaused] = useState(false);
  const picture = usePicture(Number(seconds));
  const data = picture.data;
  const working = new Set(data?.stitches.filter((one) => one.finished_ms === null).map((one) => one.worker));

  useEffect(() => {
    const pressed = (event: KeyboardEvent) => {
      if ((event.target as HTMLElement).closest('input, textarea, select')) return;
      if (event.key === 't') setTable((old) => !old);
    };
    addEventListener('keydown', pressed);
    return () => removeEventListener('keydown', pressed);
  }, []);

  if (!data) {
    return (
      <>
        <Sentence>{picture.error ? 'The devices cannot be shown.' : <span className="text-ink-3">Devices</span>}</Sentence>
        <Waiting error={picture.error} what="The picture" />
      </>
    );
  }
  const parts = devicesSentence(data.devices, working);
  const few = data.devices.length <= 1;
  return (
    <>
      <Sentence below={few && data.devices.length === 1 ? `${data.devices[0]!.name} already works for itself. Send someone a link, and their line appears below.` : undefined}>
        {parts.map((part) =>
          part.to ? (
            <Link key={part.to} to="/n/$network/devices/$device" params={{ network, device: part.to }} className={LINK}>
              {part.text}
            </Link>
          ) : (
            part.text
          ),
        )}
      </Sentence>
      <Pending devices={data.devices} />
      <div className="mb-5 flex flex-wrap items-center gap-3">
        <Segment name="Window" value={seconds} onChange={setSeconds} options={WINDOWS} />
        <span className="ml-auto flex gap-2">
          <Button className="max-wide:hidden" onClick={() => setPaused(!paused)} aria-pressed={paused}>
            {paused ? 'Go on' : 'Hold still'}
          </Button>
          <Button className="max-wide:hidden" aria-pressed={table} onClick={() => setTable(!table)}>
            {table ? 'Picture' : 'Table'}
          </Button>
          <Button look="primary" onClick={() => setAdding(true)}>
            Add a device
          </Button>
        </span>
      </div>
      {table ? <DeviceTable data={data} working={working} /> : <Live data={data} at={data.at} seconds={Number(seconds)} narrow={narrow} moving={!paused} working={working} />}
      {few && <Empty add={() => setAdding(true)} />}
      {!few && <Lately data={data} />}
      {adding && (
        <Suspense fallback={null}>
          <AddDevice close={() => setAdding(false)} />
        </Suspense>
      )}
      <DevicePanel close={() => void navigate({ to: '/n/$network', params: { network } })} />
    </>
  );
}

/** Who waits comes first, wherever one looks. */
function Pending({ devices }: { devices: Device[] }) {
  const me = useMe();
  const network = useNetwork();
  const names = useNames();
  const admin = me.data?.networks.find((one) => one.network === network)?.role === 'admin';
  return devices
    .filter((one) => one.state === 'pending')
    .map((one) => (
      <div key={one.device} className="mb-5 flex max-w-[62em] flex-wrap items-center gap-3 border-l-2 border-warn-fill bg-raised px-4 py-3">
        <p className="min-w-[14em] flex-1">
          <b>{one.name}</b> {one.held === 'copied' ? 'was put back: its folder was copied or restored.' : 'asks to join.'}
          <span className="block text-13 text-ink-2">Brought by {names.person(one.owner)}.</span>
        </p>
        {admin ? <Approve device={one.device} /> : <span className="text-13 text-ink-2">An admin decides.</span>}
        <Link to="/n/$network/devices/$device" params={{ network, device: one.device }} className={`text-13 ${LINK}`}>
          Look first
        </Link>
      </div>
    ));
}

/** Room in the picture, and the ways to fill it. */
function Empty({ add }: { add: () => void }) {
  return (
    <>
      <div aria-hidden="true" className="mt-2">
        {['your desktop', 'a friend’s server', 'a phone on its charger'].map((name) => (
          <div key={name} className="grid h-[42px] grid-cols-[minmax(110px,200px)_minmax(0,1fr)] items-center text-13 text-ink-3 wider:mr-[190px]">
            <span className="pl-[22px]">{name}</span>
            <svg className="h-[2px] w-full">
              <path d="M0 1h3000" className="stroke-thread" strokeWidth="1.5" strokeDasharray="1.5 7" />
            </svg>
          </div>
        ))}
      </div>
      <div className="mt-9 grid gap-9 wide:grid-cols-2">
        <section className="border-t border-ink pt-4">
          <h2 className="mb-1 text-15 font-600">Another machine of yours</h2>
          <p className="mb-3 text-13 text-ink-2">Install Mesh there, then use a link or a code.</p>
          <Button onClick={add}>Make a link</Button>
        </section>
        <section className="border-t border-ink pt-4">
          <h2 className="mb-1 text-15 font-600">What Mesh can and cannot see</h2>
          <p className="text-13 text-ink-2">
            The coordinator and the relay never see your data and hold no key that opens it. The device that does the work sees it, and so
            can its owner.
          </p>
        </section>
      </div>
    </>
  );
}
