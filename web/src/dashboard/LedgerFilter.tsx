/** What the ledger is narrowed down to: the coordinator finds it, however long the ledger is. */
import { Pick, Segment } from '../parts/controls';
import { usePicture } from './data';

export type Narrowed = { whose: 'all' | 'mine'; kind: string; device: string; since: string; until: string };
export const EVERYTHING: Narrowed = { whose: 'all', kind: '', device: '', since: '', until: '' };

export const KINDS: Record<string, string> = {
  settle: 'work',
  second: 'second payment',
  reverse: 'taken back',
  mature: 'matured',
  welcome: 'welcome',
  admin: 'given by an admin',
  burn: 'burnt',
};

/** The query of a request for lines; days are whole days of this browser's time zone. */
export function asked(narrowed: Narrowed, me: string): string {
  const query = new URLSearchParams();
  if (narrowed.whose === 'mine') query.set('member', me);
  if (narrowed.kind) query.set('kind', narrowed.kind);
  if (narrowed.device) query.set('device', narrowed.device);
  const [since, until] = [startOf(narrowed.since, 0), startOf(narrowed.until, 1)];
  if (since !== null) query.set('since_ms', String(since));
  if (until !== null) query.set('until_ms', String(until));
  return query.toString();
}

function startOf(day: string, later: number): number | null {
  const [year, month, date] = day.split('-').map(Number);
  if (!year || !month || !date) return null;
  return Math.max(0, new Date(year, month - 1, date + later).getTime());
}

export function LedgerFilter({ value, onChange }: { value: Narrowed; onChange: (next: Narrowed) => void }) {
  const devices = usePicture().data?.devices ?? [];
  const set = (change: Partial<Narrowed>) => onChange({ ...value, ...change });
  return (
    <>
      <Segment
        name="Whose lines"
        value={value.whose}
        onChange={(whose) => set({ whose })}
        options={[
          { value: 'all', label: 'Everyone' },
          { value: 'mine', label: 'Mine' },
        ]}
      />
      <Pick
        name="Kind"
        value={value.kind}
        onChange={(kind) => set({ kind })}
        options={[{ value: '', label: 'every kind' }, ...Object.entries(KINDS).map(([kind, label]) => ({ value: kind, label }))]}
      />
      {devices.length > 0 && (
        <Pick
          name="Device"
          value={value.device}
          onChange={(device) => set({ device })}
          options={[{ value: '', label: 'every device' }, ...devices.map((one) => ({ value: one.device, label: one.name }))]}
        />
      )}
      <Day name="From" value={value.since} onChange={(since) => set({ since })} />
      <Day name="To" value={value.until} onChange={(until) => set({ until })} />
    </>
  );
}

function Day({ name, value, onChange }: { name: string; value: string; onChange: (day: string) => void }) {
  return (
    <label className="flex items-center gap-2 text-13 text-ink-2">
      {name}
      <input
        type="date"
        value={value}
        onChange={(event) => onChange(event.target.value)}
        className="h-[28px] rounded-6 border border-line bg-transparent px-2 text-13 text-ink hover:border-edge pointer-coarse:h-[40px]"
      />
    </label>
  );
}
