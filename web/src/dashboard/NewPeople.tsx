/** Settings: how people come in. */
import { Switch } from '../parts/controls';
import { Part, useChange } from './SettingsPart';

export function NewPeople({ on, admin }: { on: boolean; admin: boolean }) {
  const { change, failure, busy } = useChange();
  const said = (wait: boolean) => (wait ? 'Whoever comes waits for an admin now.' : 'People come in without an admin now. Who waits already goes on waiting.');
  return (
    <Part title="New people" about="By whichever way somebody comes: while they wait they see nothing of the network, and can do nothing in it.">
      <div className="flex items-center gap-3 text-13">
        {admin && <Switch label="People wait for approval" checked={on} disabled={busy} onChange={(wait) => void change({ approve_people: wait }, said(wait), { approve_people: on })} />}
        <span>{on ? 'People wait for approval.' : 'People come in by an invite, unless it says that an admin must approve, or by a domain that is listed.'}</span>
      </div>
      {failure}
    </Part>
  );
}
