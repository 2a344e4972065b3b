/** On which terms a network works: how devices come in, how much a person may have under way. */
import { useState } from 'react';
import { Button, Field, INPUT, Switch } from '../parts/controls';
import { many } from '../parts/words';
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
