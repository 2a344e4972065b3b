/** One device: how it is and why, what it really does, its trust, and what may be done with it. */
import { useQueryClient } from '@tanstack/react-query';
import { useNavigate, useParams } from '@tanstack/react-router';
import { type ReactNode, useEffect, useRef, useState } from 'react';
import { Button, Failure } from '../parts/controls';
import { Ask } from '../parts/Ask';
import { Glyph, STATE_WORDS } from '../parts/marks';
import { useUndo } from '../parts/Undo';
import { bytes, many, moment, percent, span, speed, system } from '../parts/words';
import { ApiError, type Device, drop, post } from './api';
import { useMe, useNames, useNetwork, usePicture } from './data';
import { Rename } from './DeviceName';
import { DevicePath } from './DevicePath';
import { Approve } from './Approve';
import { stateOf } from './deviceState';

export function DevicePanel({ close }: { close: () => void }) {
  const { device: wanted } = useParams({ strict: false }) as { device?: string };
  const navigate = useNavigate();
  const network = useNetwork();
  const picture = usePicture();
  const panel = useRef<HTMLElement>(null);
  const devices = picture.data?.devices ?? [];
  const at = devices.findIndex((one) => one.device === wanted);
  const device = devices[at];

  useEffect(() => {
    if (!wanted) return undefined;
    const before = document.activeElement as HTMLElement | null;
    panel.current?.focus();
    return () => before?.focus();
  }, [wanted]);

  useEffect(() => {
    if (!wanted) return undefined;
    const pressed = (event: KeyboardEvent) => {
      if ((event.target as HTMLElement).closest('input, textarea, select, [role=alertdialog]')) return;
      const next = event.key === 'j' ? devices[at + 1] : event.key === 'k' ? devices[at - 1] : undefined;
      if (event.key === 'Escape') close();
      if (next) void navigate({ to: '/n/$network/devices/$device', params: { network, device: next.device } });
    };
    addEventListener('keydown', pressed);
    return () => removeEventListener('keydown', pressed);
  });

  if (!wanted) return null;
  return (
    <aside
      ref={panel}
      tabIndex={-1}
      aria-label={device ? `Device ${device.name}` : 'Device'}
      className="fixed inset-y-0 right-0 z-20 w-full overflow-auto border-l border-line bg-raised px-5 pt-6 pb-24 shadow-float outline-none wide:w-[428px] wide:px-7"
    >
      <button
        type="button"
        aria-label="Close"
        onClick={close}
        className="float-right grid size-[28px] place-items-center text-19 text-ink-2 hover:text-ink pointer-coarse:size-[44px]"
      >
        ×
      </button>
      {device ? <About device={device} close={close} /> : <p>This device is gone, or not yours to see.</p>}
    </aside>
  );
}

function About({ device, close }: { device: Device; close: () => void }) {
  const network = useNetwork();
  const names = useNames();
  const me = useMe();
  const picture = usePicture();
  const admin = me.data?.networks.find((one) => one.network === network)?.role === 'admin';
  const mine = device.owner === me.data?.member;
  const working = new Set(picture.data?.stitches.filter((one) => one.finished_ms === null).map((one) => one.worker));
  const state = stateOf(device, working);
  const { capability, condition } = device;
  return (
    <>
      <h2 className="flex items-center gap-2.5 text-19 font-600 break-words">
        <Glyph state={state} /> {device.name}
      </h2>
      <p className="mt-2 mb-4 text-14 text-ink-2">{sentence(device, mine ? 'Your' : `${names.person(device.owner)}’s`, STATE_WORDS[state])}</p>
      {(admin || mine) && <Actions key={device.device} device={device} admin={admin} close={close} />}
      <Part title="What it really does">
        {!capability?.offers?.length && <p className="text-13 text-ink-2">It has measured nothing yet.</p>}
        {!!capability?.offers?.length && (
          <table className="w-full text-13">
            <thead>
              <tr className="text-left text-12 text-ink-3">
                <th className="pb-1 font-400">workload</th>
                <th className="pb-1 font-400">model</th>
                <th className="pb-1 text-right font-400">measured</th>
                <th className="pb-1 text-right font-400">now</th>
              </tr>
            </thead>
            <tbody>
              {capability.offers.map((offer) => (
                <tr key={offer.model} className="border-t border-line align-top">
                  <th scope="row" className="py-1.5 pr-2 text-left font-400">
                    {offer.workload}
                  </th>
                  <td className="py-1.5 pr-2 break-all text-ink-2">{offer.model}</td>
                  <td className="py-1.5 pr-2 text-right whitespace-nowrap">{offer.units_per_s ? speed(offer.workload, offer.units_per_s) : 'not yet'}</td>
                  <td className="py-1.5 text-right whitespace-nowrap text-ink-2">{offer.warm ? 'warm' : `cold, ${span(offer.cold_load_s ?? 0)}`}</td>
                </tr>
              ))}
            </tbody>
          </table>
        )}
      </Part>
      {capability && (
        <Part title="Machine">
          <dl className="grid grid-cols-[auto_1fr] gap-x-4 gap-y-1 text-13">
            <Fact name="System" value={`${system(capability.system)} on ${capability.arch}, tier ${capability.tier}`} />
            <Fact name="Processors" value={`${capability.cores}${condition.cpu_busy === undefined ? '' : `, other programs use ${percent(condition.cpu_busy)}`}`} />
            <Fact name="Memory" value={bytes(capability.memory_bytes)} />
            {capability.gpus?.map((gpu) => <Fact key={gpu.name} name="GPU" value={`${gpu.name}, ${bytes(gpu.memory_bytes)}`} />)}
            {condition.battery !== undefined && (
              <Fact name="Battery" value={`${percent(condition.battery)}${condition.plugged_in ? ', on the charger' : ''}`} />
            )}
            {condition.thermal_headroom !== undefined && <Fact name="Heat" value={`${percent(condition.thermal_headroom)} to its limit`} />}
            <Fact name="Queue" value={`${many(condition.load?.depth ?? 0, 'job')}, ${span(condition.load?.work_s ?? 0)} of work`} />
          </dl>
        </Part>
      )}
      <Part title="Path">
        <DevicePath device={device} />
      </Part>
      <Part title="Trust">
        <p className="text-13 text-ink-2">
          Joined {moment(device.joined_ms)}.{' '}
          {device.certificate_until_ms ? `Certificate until ${moment(device.certificate_until_ms)}, renews itself.` : 'No certificate yet.'}{' '}
          Isolation: {capability?.isolation ?? 'none'}.{device.ephemeral && ' Removed by itself after half an hour offline.'}
          {device.tags.length > 0 && ` Tags: ${device.tags.join(', ')}.`}
        </p>
        <p className="mt-2 text-12 text-ink-3">Its key</p>
        <code className="text-12 break-all select-all">{device.key}</code>
      </Part>
    </>
  );
}

function sentence(device: Device, whose: string, word: string): string {
  const kind = device.capability ? `${whose} device, tier ${device.capability.tier}.` : `${whose} device.`;
  if (device.state === 'pending') return `${kind} ${device.held === 'copied' ? 'Its folder was copied or restored, so it waits until an admin looks.' : 'It waits for an admin’s approval.'}`;
  if (device.state === 'offline') return `${kind} Away${device.last_seen_ms ? ` since ${moment(device.last_seen_ms)}` : ''}.`;
  if (!device.contributes) return `${kind} Here, but for its owner’s jobs only: ${device.limit}.`;
  return `${kind} Now: ${word}.`;
}

type Steered = 'paused' | 'draining' | 'ready';
const DONE: Record<Steered, string> = { paused: 'is paused', draining: 'ends its work and takes no new', ready: 'works for others again' };

function Actions({ device, admin, close }: { device: Device; admin: boolean; close: () => void }) {
  const network = useNetwork();
  const queries = useQueryClient();
  const [asking, setAsking] = useState(false);
  const [naming, setNaming] = useState(false);
  const [busy, setBusy] = useState('');
  const [error, setError] = useState<ApiError | null>(null);
  async function act(what: string, done: () => Promise<unknown>) {
    setBusy(what);
    setError(null);
    try {
      await done();
      await queries.invalidateQueries({ queryKey: ['picture'] });
    } catch (refused) {
      setError(refused as ApiError);
    }
    setBusy('');
  }
  const undo = useUndo();
  const say = (state: string) => post(`/v1/networks/${network}/devices/${device.device}/state`, { state });
  const steer = (state: Steered) => async () => {
    await say(state);
    const before = device.state === 'paused' || device.state === 'draining' ? device.state : 'ready';
    undo(`${device.name} ${DONE[state]}.`, () => say(before));
  };
  const here = !['pending', 'offline', 'revoked'].includes(device.state);
  const held = device.state === 'paused' || device.state === 'draining';
  return (
    <div className="mb-2">
      <div className="flex flex-wrap gap-2">
        {device.state === 'pending' && admin && <Approve device={device.device} />}
        {here && !held && (
          <>
            <Button busy={busy === 'pause' && 'Pausing…'} onClick={() => void act('pause', steer('paused'))}>
              Pause
            </Button>
            <Button busy={busy === 'drain' && 'Draining…'} onClick={() => void act('drain', steer('draining'))}>
              Drain
            </Button>
          </>
        )}
        {here && held && (
          <Button look="primary" busy={busy === 'resume' && 'Resuming…'} onClick={() => void act('resume', steer('ready'))}>
            Resume
          </Button>
        )}
        {!naming && <Button onClick={() => setNaming(true)}>Rename</Button>}
        <Button look="fail" onClick={() => setAsking(true)}>
          Remove…
        </Button>
      </div>
      {naming && <Rename key={device.device} device={device} close={() => setNaming(false)} />}
      {error && (
        <div className="mt-3">
          <Failure message={error.message} code={error.refused.code} />
        </div>
      )}
      {asking && (
        <Ask
          title={`Remove ${device.name}?`}
          yes={`Remove ${device.name}`}
          no="Keep it"
          doing="Removing…"
          close={() => setAsking(false)}
          onYes={async () => {
            await drop(`/v1/networks/${network}/devices/${device.device}`);
            await queries.invalidateQueries({ queryKey: ['picture'] });
            close();
          }}
        >
          Its work stops within 5 seconds, its key is refused everywhere within 5 minutes. Its owner can bring it back only with a fresh
          approval. Its ledger lines stay.
        </Ask>
      )}
    </div>
  );
}

function Part({ title, children }: { title: string; children: ReactNode }) {
  return (
    <section className="mt-6">
      <h3 className="mb-2 text-14 font-600">{title}</h3>
      {children}
    </section>
  );
}

function Fact({ name, value }: { name: string; value: string }) {
  return (
    <>
      <dt className="text-ink-2">{name}</dt>
      <dd className="text-right">{value}</dd>
    </>
  );
}
