/** On which terms a network works: how devices come in, how much a person may have under way, what work costs. */
import { useState } from 'react';
import { Button, Field, INPUT, Switch } from '../parts/controls';
import { credits, many } from '../parts/words';
import type { Settings } from './api';
import { Part, useChange } from './SettingsPart';

export function Waits({ on, admin }: { on: boolean; admin: boolean }) {
  const { change, failure, busy } = useChange();
  const said = (wait: boolean) => (wait ? 'Devices wait for an admin now.' : 'Devices come in without an admin now.');
  return (
    <Part title="New devices" about="A device that an admin invited never waits; one that was removed before always does.">
      <div className="flex items-center gap-3 text-13">
        {admin && (
          <Switch label="Devices wait for approval" checked={on} disabled={busy} onChange={(wait) => void change({ approve_devices: wait }, said(wait), { approve_devices: on })} />
        )}
        <span>{on ? 'Devices wait for approval.' : 'Devices of members come in by their link alone.'}</span>
      </div>
      {failure}
    </Part>
  );
}

export function Permits({ most, admin }: { most: number | null; admin: boolean }) {
  const { change, failure, busy } = useChange();
  const [value, setValue] = useState(most === null ? '' : String(most));
  const words = most === null ? 'As many as there is credit for.' : `${many(most, 'permit')} at a time for each person.`;
  return (
    <Part title="Under way at once" about="How many permits for jobs a person may hold at a time, so that nobody crowds out the others.">
      {admin ? (
        <form
          className="max-w-[224px]"
          onSubmit={(event) => {
            event.preventDefault();
            void change({ permits_per_member: Number(value) }, 'The limit is saved.', { permits_per_member: most ?? 0 });
          }}
        >
          <Field label="Permits for each person" hint="Empty: no limit">
            <input type="number" min="1" max="1000000" value={value} onChange={(event) => setValue(event.target.value)} className={INPUT} />
          </Field>
          {Number(value) !== (most ?? 0) && (
            <Button look="primary" type="submit" busy={busy && 'Saving…'} className="mt-3">
              Save limit
            </Button>
          )}
        </form>
      ) : (
        <p className="text-13">{words}</p>
      )}
      {failure}
    </Part>
  );
}

/** How what is counted is called: pages as they are, text by the thousand bytes. */
function unit(workload: string, per: number): string {
  if (workload === 'ocr') return per === 1 ? 'a page' : many(per, 'page');
  return per === 1000 ? 'a kB of text' : many(per, 'byte of text', 'bytes of text');
}

export function Tariff({ tariff }: { tariff: NonNullable<Settings['tariff']> }) {
  return (
    <Part
      title={`Tariff, version ${tariff.version}`}
      about="What others’ devices cost; your own cost nothing. A published price never changes: the next version comes with a new release of the coordinator, and every ledger line names its version."
    >
      <dl className="grid max-w-[460px] grid-cols-[auto_1fr] gap-x-4 gap-y-1 text-13">
        {tariff.prices.map((one) => (
          <div key={one.workload} className="contents">
            <dt className="text-ink-2">{one.workload}</dt>
            <dd className="text-right">
              {credits(one.price_micro)} credits for {unit(one.workload, one.price_per)}
            </dd>
          </div>
        ))}
      </dl>
    </Part>
  );
}
