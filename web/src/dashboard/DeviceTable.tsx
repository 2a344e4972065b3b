/** The picture's facts as a table. */
import { Link } from '@tanstack/react-router';
import { Glyph, STATE_WORDS } from '../parts/marks';
import type { Picture } from './api';
import { useMe, useNetwork, useNames } from './data';
import { ordered } from './facts';
import { stateOf } from './deviceState';
import { about, doing } from './LivePicture';

export function DeviceTable({ data, working }: { data: Picture; working: Set<string> }) {
  const network = useNetwork();
  const names = useNames();
  const me = useMe().data?.member ?? '';
  return (
    <table className="w-full text-13">
      <thead>
        <tr className="border-b border-line text-left text-12 text-ink-3">
          {['device', 'owner', 'state', 'machine', 'doing'].map((head) => (
            <th key={head} className={`py-2 font-400 ${['owner', 'machine'].includes(head) ? 'max-wide:hidden' : ''}`}>
              {head}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {ordered(data.devices, me, names.person).map((one) => (
          <tr key={one.device} className="h-[36px] border-b border-line">
            <th scope="row" className="text-left font-600">
              <Link to="/n/$network/devices/$device" params={{ network, device: one.device }} className="hover:underline">
                {one.name}
              </Link>
            </th>
            <td className="text-ink-2 max-wide:hidden">{names.person(one.owner)}</td>
            <td>
              <span className="inline-flex items-center gap-2">
                <Glyph state={stateOf(one, working)} /> {STATE_WORDS[stateOf(one, working)]}
              </span>
            </td>
            <td className="text-ink-2 max-wide:hidden">{about(one, me)}</td>
            <td className="text-ink-2">{doing(one, data)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
