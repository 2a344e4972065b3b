/** What others' devices cost: the prices in force, for admins with a form for the next version, and the versions before. */
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { Button, Failure, Field, INPUT, LINK } from '../parts/controls';
import { credits, moment } from '../parts/words';
import { ApiError, get, put, type Settings } from './api';
import { useNetwork } from './data';
import { Waiting } from './Frame';
import { Part } from './SettingsPart';
import { type Change, perUnit, TariffPreview } from './TariffPreview';

type Prices = NonNullable<Settings['tariff']>;
type Version = Prices & { since_ms: number; fee_ppm: number; note: string; name: string | null; current: boolean };

const PER_CREDIT = 1e6;
const PER_PERCENT = 1e4;

export function Tariff({ tariff, admin }: { tariff: Prices; admin: boolean }) {
  return (
    <Part
      title={`Tariff, version ${tariff.version}`}
      about="What others’ devices cost; your own cost nothing. A version never changes: what was permitted by it is paid by it, and every ledger line names its version."
    >
      {admin ? <Next key={tariff.version} tariff={tariff} /> : <List tariff={tariff} />}
      <History tariff={tariff} />
    </Part>
  );
}

function List({ tariff }: { tariff: Prices }) {
  return (
    <dl className="grid max-w-[460px] grid-cols-[auto_1fr] gap-x-4 gap-y-1 text-13">
      {tariff.prices.map((one) => (
        <div key={one.workload} className="contents">
          <dt className="text-ink-2">{one.workload}</dt>
          <dd className="text-right">
            {credits(one.price_micro)} credits for {perUnit(one)}
          </dd>
        </div>
      ))}
      {tariff.fee_ppm != null && (
        <div className="contents">
          <dt className="text-ink-2">for spot checks</dt>
          <dd className="text-right">{percent(tariff.fee_ppm)}</dd>
        </div>
      )}
    </dl>
  );
}

/** The next version: a field for each price, what it would mean, and then it is published. */
function Next({ tariff }: { tariff: Prices }) {
  const network = useNetwork();
  const queries = useQueryClient();
  const [prices, setPrices] = useState(() => Object.fromEntries(tariff.prices.map((one) => [one.workload, decimal(one.price_micro / PER_CREDIT)])));
  const [fee, setFee] = useState(decimal((tariff.fee_ppm ?? 0) / PER_PERCENT));
  const [note, setNote] = useState('');
  const [error, setError] = useState<ApiError | null>(null);
  const [busy, setBusy] = useState(false);
  const change = changed(tariff, prices, fee);
  const same = !change.prices.length && change.fee_ppm === undefined;
  function discard() {
    setPrices(Object.fromEntries(tariff.prices.map((one) => [one.workload, decimal(one.price_micro / PER_CREDIT)])));
    setFee(decimal((tariff.fee_ppm ?? 0) / PER_PERCENT));
    setNote('');
    setError(null);
  }
  async function publish() {
    setBusy(true);
    setError(null);
    try {
      await put(`/v1/networks/${network}/tariff`, { ...change, base_version: tariff.version, note });
      await queries.invalidateQueries({ queryKey: ['settings'] });
    } catch (refused) {
      setError(refused as ApiError);
    }
    setBusy(false);
  }
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        void publish();
      }}
    >
      <div className="grid max-w-[620px] grid-cols-2 items-start gap-3 max-narrow:grid-cols-1">
        {tariff.prices.map((one) => (
          <Field key={one.workload} label={one.workload} hint={`credits for ${perUnit(one)}`}>
            <input
              type="number"
              min="0.000001"
              max="1000"
              step="0.000001"
              required
              value={prices[one.workload] ?? ''}
              onChange={(event) => setPrices({ ...prices, [one.workload]: event.target.value })}
              className={INPUT}
            />
          </Field>
        ))}
        <Field label="For spot checks, percent" hint="0 to 50 of each payment; the rest is earned">
          <input type="number" min="0" max="50" step="0.0001" required value={fee} onChange={(event) => setFee(event.target.value)} className={INPUT} />
        </Field>
      </div>
      {!same && (
        <>
          <TariffPreview change={change} />
          <div className="mt-4 max-w-[620px]">
            <Field label="Why" hint="for everybody to read">
              <input type="text" maxLength={255} value={note} onChange={(event) => setNote(event.target.value)} className={INPUT} />
            </Field>
          </div>
          <div className="mt-3 flex gap-2">
            <Button look="primary" type="submit" busy={busy && 'Publishing…'}>
              Publish version {tariff.version + 1}
            </Button>
            <Button look="quiet" onClick={discard}>
              Discard
            </Button>
          </div>
        </>
      )}
      {error && (
        <div className="mt-3">
          <Failure message={error.message} code={error.refused.code} />
        </div>
      )}
    </form>
  );
}

/** Since when the prices hold and by whom; and on demand what they were before. */
function History({ tariff }: { tariff: Prices }) {
  const network = useNetwork();
  const [open, setOpen] = useState(false);
  const versions = useQuery({
    queryKey: ['settings', network, 'tariff'],
    queryFn: async () => (await get<{ versions: Version[] }>(`/v1/networks/${network}/tariff/versions`)).versions,
    enabled: open,
  });
  const since = tariff.since_ms == null ? '' : tariff.version === 1 ? 'These prices hold since the network began.' : `These prices hold since ${moment(tariff.since_ms)}.`;
  return (
    <div className="mt-4 text-13">
      <p className="text-ink-2">
        {since}{' '}
        {tariff.version > 1 && (
          <button type="button" aria-expanded={open} className={LINK} onClick={() => setOpen(!open)}>
            {open ? 'Hide the versions' : 'All versions'}
          </button>
        )}
      </p>
      {open && !versions.data && <Waiting error={versions.error} what="The versions" />}
      {open && versions.data && (
        <ol aria-label="Versions of the tariff" className="mt-2">
          {versions.data.map((one) => (
            <li key={one.version} className="border-t border-line py-2 last:border-b">
              <p>
                <b>Version {one.version}</b>, {one.version === 1 ? 'as every network begins' : `${moment(one.since_ms)}, by ${one.name ?? 'somebody who left'}`}
                {one.note && <span className="break-words">: “{one.note}”</span>}
              </p>
              <p className="text-ink-2">
                {one.prices.map((price) => `${price.workload} ${credits(price.price_micro)} for ${perUnit(price)}`).join(' · ')} · {percent(one.fee_ppm)} for spot checks
              </p>
            </li>
          ))}
        </ol>
      )}
    </div>
  );
}

/** What the form says other than the tariff; what is no number is not named. */
function changed(tariff: Prices, prices: Record<string, string>, fee: string): Change {
  const wanted = tariff.prices.map((one) => ({ workload: one.workload, price_micro: Math.round(Number(prices[one.workload]) * PER_CREDIT), was: one.price_micro }));
  const different = wanted.filter((one) => prices[one.workload]?.trim() && Number.isSafeInteger(one.price_micro) && one.price_micro !== one.was);
  const ppm = Math.round(Number(fee) * PER_PERCENT);
  const fees = fee.trim() !== '' && Number.isSafeInteger(ppm) && ppm !== tariff.fee_ppm;
  return { prices: different.map(({ workload, price_micro }) => ({ workload, price_micro })), ...(fees ? { fee_ppm: ppm } : {}) };
}

/** A number as it is typed: 0.0037, never 3.7e-3. */
function decimal(number: number): string {
  return number.toFixed(6).replace(/\.?0+$/, '');
}

function percent(ppm: number): string {
  return `${decimal(ppm / PER_PERCENT)}\u00a0%`;
}
