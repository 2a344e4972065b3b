/** For two weeks after an admin published other prices, the ledger says so. */
import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { LINK } from '../parts/controls';
import { moment } from '../parts/words';
import { get, type Settings } from './api';
import { useNetwork } from './data';

const TOLD_MS = 14 * 24 * 3600 * 1000;

export function PriceNotice() {
  const network = useNetwork();
  const settings = useQuery({ queryKey: ['settings', network], queryFn: () => get<Settings>(`/v1/networks/${network}/settings`) });
  const tariff = settings.data?.tariff;
  if (!tariff || tariff.version === 1 || tariff.since_ms == null || Date.now() - tariff.since_ms > TOLD_MS) return null;
  return (
    <p className="mb-3 text-13 text-ink-2">
      Prices changed: version {tariff.version} of the tariff holds since {moment(tariff.since_ms)}.{' '}
      <Link to="/n/$network/settings" params={{ network }} className={LINK}>
        What work costs
      </Link>
    </p>
  );
}
