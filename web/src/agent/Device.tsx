/** This device: what it gives, why not right now, what it found, and whom it reaches. */
import { useMutation, useQueryClient } from '@tanstack/react-query';
import type { ReactNode } from 'react';
import { Button, Copy, Failure, Switch } from '../parts/controls';
import { Glyph, PathMark, type State, STATE_WORDS } from '../parts/marks';
import { Theme } from '../parts/Theme';
import { Weave } from '../parts/Weave';
import { bytes, capital, count, label, percent, span, speed, system } from '../parts/words';
import type { Stitch } from '../pictures/weave';
import { type About, AgentError, ask, type Peer, type Status, type Terms } from './client';
import type { Entry } from './entries';

function useSteering() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (request: object) => ask<Status>(request),
    onSuccess: (status) => queries.setQueryData(['status'], status),
  });
}

/** What the owner set, in words. */
export function termsInWords(terms: Terms): string {
  const parts = [
    terms.hours?.length ? `from ${terms.hours.map((one) => `${clockOf(one.start)} to ${clockOf(one.end)}`).join(', ')}` : '',
    terms.idle_below === undefined ? '' : `when less than ${percent(terms.idle_below)} is in use`,
    terms.share !== undefined && terms.share < 1 ? `at most ${percent(terms.share)} of the engines` : '',
    terms.jobs_max === undefined ? '' : `at most ${terms.jobs_max} at once`,
    `off the charger above ${percent(terms.battery_min ?? 0.5)} battery`,
  ];
  return capital(parts.filter(Boolean).join(', '));
}

function clockOf(minute: number): string {
  return `${String(Math.floor(minute / 60)).padStart(2, '0')}:${String(minute % 60).padStart(2, '0')}`;
}

function Contribution({ status }: { status: Status }) {
  const steering = useSteering();
  const terms = status.terms ?? {};
  const on = terms.on ?? true;
  return (
    <Part>
      <div className="flex items-start justify-between gap-4">
        <div>
          <h2 className="text-14 font-600">Works for others</h2>
          <p className="text-13 text-ink-2">{on ? termsInWords(terms) : 'Only your own jobs run here'}</p>
        </div>
        <Switch
          label="Works for others"
          checked={on}
          disabled={steering.isPending}
          onChange={(wanted) => steering.mutate({ c: 'setterms', terms: { ...terms, on: wanted } })}
        />
      </div>
      {on && status.limit && (
        <p className="mt-3 text-13">
          Not right now: <b>{status.limit}</b>. <span className="text-ink-2">Change the limits: mesh device contribute</span>
        </p>
      )}
      {steering.error && <Failure message={steering.error.message} code={codeOf(steering.error)} />}
    </Part>
  );
}

function codeOf(error: unknown): string | undefined {
  return error instanceof AgentError ? error.refused.code : undefined;
}

function Part({ title, children }: { title?: string; children: ReactNode }) {
  return (
    <section className="border-b border-line py-5 last:border-b-0">
      {title && <h2 className="mb-2 text-15 font-600">{title}</h2>}
      {children}
    </section>
  );
}

type AsideProps = { status: Status; peers: Peer[]; entries: Entry[]; about: About; state: State };

export function Aside({ status, peers, entries, about, state }: AsideProps) {
  const offers = status.capability?.offers ?? [];
  return (
    <aside aria-label="This device" className="min-w-0">
      <h2 className="flex items-center gap-2 border-b border-line pb-3 text-15 font-600">
        <Glyph state={state} /> {status.name} <span className="font-400 text-ink-3">{STATE_WORDS[state]}</span>
      </h2>
      <div>
        <Contribution status={status} />
        <Part title="Last 30 s here">
          <Last status={status} peers={peers} entries={entries} state={state} />
        </Part>
        {about.gateway && (
          <Part title="For your own tools">
            <dl className="grid grid-cols-[auto_minmax(0,1fr)] gap-x-4 gap-y-2 text-13">
              <dt className="text-ink-2">Base URL</dt>
              <dd className="text-right">
                <code className="text-12 break-all">{about.gateway}/v1</code> <Copy text={`${about.gateway}/v1`} />
              </dd>
              <dt className="text-ink-2">Key in</dt>
              <dd className="text-right">
                <code className="text-12 break-all">{about.key_file}</code>
              </dd>
            </dl>
          </Part>
        )}
        <Part title="What it really does">
          {offers.length === 0 && <p className="text-13 text-ink-2">Nothing measured yet.</p>}
          <dl className="grid grid-cols-[1fr_auto] gap-y-1.5 text-13">
            {offers.map((offer) => (
              <Pair key={offer.model} name={offer.workload} value={offer.units_per_s ? speed(offer.workload, offer.units_per_s) : 'not yet'} />
            ))}
            <Pair name="isolation" value={status.capability?.isolation ?? 'none'} />
          </dl>
        </Part>
        <Part>
          <Theme />
        </Part>
      </div>
    </aside>
  );
}

function Pair({ name, value }: { name: string; value: string }) {
  return (
    <>
      <dt className="text-ink-2">{name}</dt>
      <dd className="text-right">{value}</dd>
    </>
  );
}

/** The last half minute: what was asked from here, drawn as stitches between this device and those it asked. */
function Last({ status, peers, entries, state }: Omit<AsideProps, 'about'>) {
  const now = { ms: Date.now(), at: performance.now() };
  const others = peers.filter((peer) => peer.device !== status.device && (peer.path || worked(entries, peer.device)));
  const shown = [{ device: status.device, name: status.name, state }, ...others.slice(0, 5).map(({ device, name }) => ({ device, name, state: 'ready' as State }))];
  const stitches = entries.flatMap((entry): Stitch[] => {
    const device = entry.ran?.device ?? entry.begun?.device;
    if (!device) return [];
    const outcome = entry.error ? 'failed' : entry.ended ? 'done' : 'running';
    return [
      {
        key: String(entry.id),
        job: String(entry.id),
        asker: status.device,
        worker: device,
        from: entry.started,
        to: entry.ended ?? null,
        relayed: (entry.ran?.path ?? entry.begun?.path) === 'relayed',
        outcome,
        label: label(entry.mode),
      },
    ];
  });
  const facts = {
    now: now.ms,
    seconds: 30,
    stale: null,
    stitches,
    lines: shown.map((one) => ({ id: one.device, group: '', spans: [{ state: 'ready' as const, from: 0 }] })),
  };
  return (
    <Weave
      facts={facts}
      at={now.at}
      moving
      row={46}
      group={0}
      tight
      hrefOf={() => undefined}
      describe={() => null}
      say={(stitch) => `${stitch.label} on ${shown.find((one) => one.device === stitch.worker)?.name ?? 'another device'}`}
      left={(rows) => (
        <ul className="pointer-events-none absolute inset-x-0 top-[24px]">
          {rows.map((row) => {
            const peer = peers.find((one) => one.device === row.id);
            const mine = row.id === status.device;
            return (
              <li key={row.id} style={{ top: row.y - 26 }} className="absolute inset-x-0 flex items-center gap-2 text-13">
                <Glyph state={mine ? state : 'ready'} />
                <b>{mine ? status.name : (peer?.name ?? 'device')}</b>
                <span className="mr-2 ml-auto bg-ground px-1 text-12 text-ink-3">
                  {mine ? 'this device' : <PathMark path={peer?.path} ms={peer?.rtt_ms} />}
                </span>
              </li>
            );
          })}
        </ul>
      )}
    />
  );
}

function worked(entries: Entry[], device: string): boolean {
  return entries.some((entry) => entry.ran?.device === device || entry.begun?.device === device);
}

export function DevicePage({ status, peers }: { status: Status; peers: Peer[] }) {
  const steering = useSteering();
  const state = status.condition.state ?? 'ready';
  const { capability, condition } = status;
  const others = peers.filter((peer) => peer.device !== status.device);
  return (
    <>
      <h1 className="mb-5 text-21 font-450 tracking-[-0.012em] wide:text-27 wide:leading-[35px]">{sentence(status)}</h1>
      <div className="mb-7 flex flex-wrap gap-2">
        {state === 'ready' || state === 'busy' ? (
          <>
            <Button look="primary" busy={steering.isPending && 'Pausing…'} onClick={() => steering.mutate({ c: 'setstate', state: 'paused' })}>
              Pause
            </Button>
            <Button onClick={() => steering.mutate({ c: 'setstate', state: 'draining' })}>Drain</Button>
          </>
        ) : (
          <Button look="primary" busy={steering.isPending && 'Resuming…'} onClick={() => steering.mutate({ c: 'setstate', state: 'ready' })}>
            Resume
          </Button>
        )}
      </div>
      {steering.error && <Failure message={steering.error.message} code={codeOf(steering.error)} />}
      <div className="grid gap-x-12 wide:grid-cols-2">
        <Part title="Now">
          <dl className="grid grid-cols-[1fr_auto] gap-y-1.5 text-13">
            <Pair name="Coordinator" value={status.link === 'up' ? 'connected' : 'away; permits at hand still work'} />
            <Pair name="Queue" value={`${condition.load?.depth ?? 0} here, ${span(condition.load?.work_s ?? 0)} of work`} />
            <Pair name="Still to report" value={String(status.outbox ?? 0)} />
            {condition.cpu_busy !== undefined && <Pair name="Other programs" value={`${percent(condition.cpu_busy)} of the processors`} />}
            {condition.battery !== undefined && (
              <Pair name="Battery" value={`${percent(condition.battery)}${condition.plugged_in ? ', on the charger' : ''}`} />
            )}
          </dl>
        </Part>
        <Part title="Machine">
          <dl className="grid grid-cols-[1fr_auto] gap-y-1.5 text-13">
            <Pair name="System" value={`${system(capability?.system ?? '')} on ${capability?.arch ?? ''}`} />
            <Pair name="Processors" value={String(capability?.cores ?? '')} />
            <Pair name="Memory" value={bytes(capability?.memory_bytes ?? 0)} />
            {capability?.gpus?.map((gpu) => <Pair key={gpu.name} name={gpu.name} value={bytes(gpu.memory_bytes)} />)}
            <Pair name="Tier" value={String(capability?.tier ?? '')} />
            <Pair name="Mesh" value={status.software} />
          </dl>
        </Part>
      </div>
      <Part title="Devices it knows">
        {others.length === 0 && <p className="text-13 text-ink-2">None yet. A second one makes it a network: mesh device invite</p>}
        <table className="w-full text-13">
          <tbody>
            {others.map((peer) => (
              <tr key={peer.device} className="border-b border-line">
                <th scope="row" className="py-2 text-left font-600">
                  {peer.name}
                </th>
                <td className="text-ink-2">{peer.own ? 'yours' : ''}</td>
                <td className="text-right">
                  <PathMark path={peer.path} ms={peer.rtt_ms} />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </Part>
    </>
  );
}

function sentence(status: Status): string {
  const jobs = status.jobs_here ?? 0;
  const state = status.condition.state;
  if (state === 'paused') return `${status.name} is paused${status.set_by === 'admin' ? ' by an admin' : ''}: only your own jobs run here.`;
  if (state === 'draining') return `${status.name} finishes what it has and takes nothing new.`;
  if (status.link === 'down') return `${status.name} works on, without its coordinator.`;
  return jobs ? `${status.name} works on ${count(jobs)} ${jobs === 1 ? 'job' : 'jobs'}.` : `${status.name} is ready.`;
}
