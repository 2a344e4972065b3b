/** What the ledger is narrowed down to. It stands in the page's address, so that it can be sent and gone back to. */
import { Pick, Segment } from '../parts/controls';
import { useMembers, usePicture } from './data';

export const KINDS: Record<string, string> = {
  settle: 'work',
  second: 'second payment',
  reverse: 'taken back',
  mature: 'matured',
  welcome: 'welcome',
  admin: 'given by an admin',
  burn: 'burnt',
  line: 'credit line changed',
};
/** What an export calls the lines of a kind. */
const EVENTS: Record<string, string[]> = {
  settle: ['credits.spent', 'credits.earned', 'credits.fee'],
  second: ['credits.spent', 'credits.earned', 'credits.fee'],
  reverse: ['credits.taken_back', 'credits.given_back'],
  mature: ['credits.matured'],
  welcome: ['credits.issued', 'credits.welcome'],
  admin: ['credits.taken', 'credits.given'],
  burn: ['credits.burnt'],
  line: ['credits.line_changed'],
};

/** Days as YYYY-MM-DD, ids as they are; what is left out is not narrowed. `by`: whose charts are drawn. */
export type Narrowed = { member?: string; kind?: string; device?: string; since?: string; until?: string; by?: 'device' };

/** The filter in an address: what nobody could have picked is left out. */
export function narrowedOf(search: Record<string, unknown>): Narrowed {
  const text = (name: string, pattern: RegExp) => {
    const value = search[name];
    return typeof value === 'string' && pattern.test(value) ? { [name]: value } : {};
  };
  return {
    ...text('member', /^[0-9A-Z]{26}$/),
    ...text('device', /^[0-9A-Z]{26}$/),
    ...(typeof search.kind === 'string' && Object.hasOwn(KINDS, search.kind) ? { kind: search.kind } : {}),
    ...(startOf(String(search.since), 0) === null ? {} : text('since', /^\d{4}-\d\d-\d\d$/)),
    ...(startOf(String(search.until), 0) === null ? {} : text('until', /^\d{4}-\d\d-\d\d$/)),
    ...(search.by === 'device' ? { by: 'device' as const } : {}),
  };
}

/** The query of a request for lines; days are whole days of this browser's time zone. */
export function asked(narrowed: Narrowed): string {
  const query = new URLSearchParams();
  if (narrowed.member) query.set('member', narrowed.member);
  if (narrowed.kind) query.set('kind', narrowed.kind);
  if (narrowed.device) query.set('device', narrowed.device);
  const [since, until] = [startOf(narrowed.since ?? '', 0), startOf(narrowed.until ?? '', 1)];
  if (since !== null) query.set('since_ms', String(since));
  if (until !== null) query.set('until_ms', String(until));
  return query.toString();
}

/** The same for a file of all lines: it names events instead of a kind. */
export function exported(narrowed: Narrowed): string {
  const query = new URLSearchParams(asked({ ...narrowed, kind: undefined }));
  for (const event of EVENTS[narrowed.kind ?? ''] ?? []) query.append('event', event);
  return query.toString();
}

/** The moment at which a day begins here, or a day `later`; null for what is no day. */
export function startOf(day: string, later: number): number | null {
  const [year, month, date] = day.split('-').map(Number);
  if (!year || !month || !date || month > 12 || date > 31) return null;
  return Math.max(0, new Date(year, month - 1, date + later).getTime());
}

type Props = { value: Narrowed; onChange: (next: Narrowed) => void; me: string; all: boolean };

/** `all`: whether others' lines may be asked for. */
export function LedgerFilter({ value, onChange, me, all }: Props) {
  const devices = usePicture().data?.devices ?? [];
  const people = useMembers().data ?? [];
  const set = (change: Narrowed) => onChange({ ...value, ...change });
  const others = people.filter((one) => one.member !== me);
  return (
    <>
      {all && (
        <Segment
          name="Whose lines"
          value={value.member === me ? 'mine' : value.member ? 'other' : 'all'}
          onChange={(whose) => set({ member: whose === 'mine' ? me : undefined })}
          options={[
            { value: 'all', label: 'Everyone' },
            { value: 'mine', label: 'Mine' },
          ]}
        />
      )}
      {all && others.length > 0 && (
        <Pick
          name="Person"
          value={value.member && value.member !== me ? value.member : ''}
          onChange={(member) => set({ member: member || undefined })}
          options={[{ value: '', label: 'another person' }, ...others.map((one) => ({ value: one.member, label: one.name }))]}
        />
      )}
      <Pick
        name="Kind"
        value={value.kind ?? ''}
        onChange={(kind) => set({ kind: kind || undefined })}
        options={[{ value: '', label: 'every kind' }, ...Object.entries(KINDS).map(([kind, label]) => ({ value: kind, label }))]}
      />
      {devices.length > 0 && (
        <Pick
          name="Device"
          value={value.device ?? ''}
          onChange={(device) => set({ device: device || undefined })}
          options={[{ value: '', label: 'every device' }, ...devices.map((one) => ({ value: one.device, label: one.name }))]}
        />
      )}
      <Day name="From" value={value.since ?? ''} onChange={(since) => set({ since: since || undefined })} />
      <Day name="To" value={value.until ?? ''} onChange={(until) => set({ until: until || undefined })} />
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
