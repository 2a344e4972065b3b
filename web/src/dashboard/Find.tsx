/** Find: devices, people, jobs and pages by name, from everywhere, with the keyboard alone. */
import { Dialog } from '@base-ui/react/dialog';
import { useQuery } from '@tanstack/react-query';
import { useNavigate } from '@tanstack/react-router';
import { type KeyboardEvent, useId, useRef, useState } from 'react';
import { moment, units } from '../parts/words';
import { found, type Thing } from '../pictures/find';
import { get, type Job } from './api';
import { useMe, useMembers, useNames, useNetwork, usePicture } from './data';

const KINDS: Record<Thing['kind'], string> = { page: 'page', device: 'device', person: 'person', job: 'job' };
const JOB_ID = /^[0-9A-Za-z]{26}$/;

export type Place = { to: string; label: string };

export function Find({ pages, close }: { pages: readonly Place[]; close: () => void }) {
  const things = useThings(pages);
  const network = useNetwork();
  const navigate = useNavigate();
  const [typed, setTyped] = useState('');
  const [at, setAt] = useState(0);
  const list = useRef<HTMLDivElement>(null);
  const id = useId();
  const pasted = JOB_ID.test(typed.trim()) ? [{ kind: 'job' as const, id: typed.trim().toUpperCase(), name: `Job ${typed.trim().toUpperCase()}`, more: '' }] : [];
  const fits = found(things, typed);
  const shown = fits.length > 0 ? fits : pasted;
  const chosen = Math.min(at, shown.length - 1);

  function go(thing: Thing) {
    close();
    if (thing.kind === 'device') void navigate({ to: '/n/$network/devices/$device', params: { network, device: thing.id } });
    else if (thing.kind === 'job') void navigate({ to: '/n/$network/jobs/$job', params: { network, job: thing.id } });
    else if (thing.kind === 'person') void navigate({ to: '/n/$network/members', params: { network }, hash: thing.id });
    else void navigate({ to: thing.id as '/n/$network', params: { network } });
  }
  function pressed(event: KeyboardEvent) {
    const step = event.key === 'ArrowDown' ? 1 : event.key === 'ArrowUp' ? -1 : 0;
    if (step && shown.length > 0) {
      event.preventDefault();
      const next = (chosen + step + shown.length) % shown.length;
      setAt(next);
      list.current?.children[next]?.scrollIntoView({ block: 'nearest' });
    }
    if (event.key === 'Enter' && shown[chosen]) {
      event.preventDefault();
      go(shown[chosen]);
    }
  }
  return (
    <Dialog.Root open onOpenChange={(open) => !open && close()}>
      <Dialog.Portal>
        <Dialog.Backdrop className="fixed inset-0 z-30 bg-ink opacity-25" />
        <Dialog.Popup className="fixed top-[10vh] left-1/2 z-30 w-[520px] max-w-[calc(100vw-24px)] -translate-x-1/2 overflow-hidden rounded-10 border border-line bg-raised shadow-float">
          <Dialog.Title className="sr-only">Find</Dialog.Title>
          <input
            role="combobox"
            aria-expanded="true"
            aria-controls={`${id}list`}
            aria-activedescendant={shown.length > 0 ? `${id}${chosen}` : undefined}
            aria-label="Find a device, a person, a job or a page"
            placeholder="Device, person, job, page"
            value={typed}
            maxLength={200}
            onChange={(event) => {
              setTyped(event.target.value);
              setAt(0);
            }}
            onKeyDown={pressed}
            className="h-[52px] w-full border-b border-line bg-transparent px-4 text-15 text-ink outline-none placeholder:text-ink-3"
          />
          <div ref={list} id={`${id}list`} role="listbox" tabIndex={-1} aria-label="Found" className="max-h-[50vh] overflow-auto py-1">
            {shown.map((thing, place) => (
              <button
                type="button"
                tabIndex={-1}
                key={`${thing.kind}${thing.id}`}
                id={`${id}${place}`}
                role="option"
                aria-selected={place === chosen}
                onPointerMove={() => setAt(place)}
                onClick={() => go(thing)}
                className="flex min-h-[36px] w-full text-left cursor-pointer items-center gap-3 px-4 py-1.5 text-14 aria-selected:bg-sunken pointer-coarse:min-h-[44px]"
              >
                <span className="min-w-0 flex-1 break-words">
                  <b className="font-500">{thing.name}</b> <span className="text-13 text-ink-2">{thing.more}</span>
                </span>
                <span className="text-12 text-ink-3">{KINDS[thing.kind]}</span>
              </button>
            ))}
          </div>
          {shown.length === 0 && <p className="px-4 pb-4 text-13 text-ink-2">Nothing here is called that. Jobs are found by their id, and the newest ones by what they did.</p>}
          <p role="status" className="sr-only">
            {shown.length} found
          </p>
        </Dialog.Popup>
      </Dialog.Portal>
    </Dialog.Root>
  );
}

function useThings(pages: readonly Place[]): Thing[] {
  const network = useNetwork();
  const names = useNames();
  const me = useMe().data?.member;
  const devices = usePicture().data?.devices ?? [];
  const people = useMembers().data ?? [];
  const jobs =
    useQuery({
      queryKey: ['jobs', network, 'newest'],
      queryFn: async () => (await get<{ jobs: Job[] }>(`/v1/networks/${network}/jobs?limit=100`)).jobs,
      staleTime: 10_000,
    }).data ?? [];
  return [
    ...pages.map((one): Thing => ({ kind: 'page', id: one.to, name: one.label, more: '' })),
    ...devices.map((one): Thing => ({ kind: 'device', id: one.device, name: one.name, more: `${names.owner(one.device)} ${one.tags.join(' ')}`.trim() })),
    ...people.map((one): Thing => ({ kind: 'person', id: one.member, name: one.name, more: one.member === me ? 'you' : one.role })),
    ...jobs.map(
      (one): Thing => ({
        kind: 'job',
        id: one.job,
        name: `${one.workload} ${units(one.workload, one.units)}`,
        more: `${names.device(one.requester)} → ${one.device ? names.device(one.device) : 'nowhere'}, ${moment(one.created_ms)}`,
      }),
    ),
  ];
}
