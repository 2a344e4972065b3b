/** A device's state as people see it. */
import type { State } from '../parts/marks';
import type { Device } from './api';

export function stateOf(device: Device, working: Set<string>): State {
  return working.has(device.device) && device.state === 'ready' ? 'busy' : (device.state as State);
}
