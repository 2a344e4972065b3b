/** The models that this device runs: how fast it really is with each, and whether it is loaded. */
import { speed, span, count, capital } from '../parts/words';
import type { Status } from './client';

export function Models({ status }: { status: Status }) {
  const offers = status.capability?.offers ?? [];
  const warm = offers.filter((offer) => offer.warm).length;
  return (
    <>
      <h1 className="mb-7 text-21 font-450 tracking-[-0.012em] wide:text-27 wide:leading-[35px]">
        {offers.length === 0
          ? 'No model is ready on this device yet.'
          : `${capital(count(offers.length))} ${offers.length === 1 ? 'model' : 'models'} on this device, ${count(warm)} loaded now.`}
      </h1>
      {offers.length === 0 && (
        <p className="max-w-[62em] text-ink-2">
          The default model is fetched when the agent starts. See what there is with <code>mesh models list</code>, and fetch one
          with <code>mesh models pull</code>.
        </p>
      )}
      {status.wrong_models && (
        <div className="mb-6 max-w-[62em]" role="status">
          <p className="mb-1 font-600">Entries of catalogue.json that are left out until they are corrected:</p>
          <ul className="list-disc pl-5 text-ink-2">
            {status.wrong_models.map((wrong) => (
              <li key={wrong}>{wrong}</li>
            ))}
          </ul>
        </div>
      )}
      {offers.length > 0 && (
        <table className="w-full text-13">
          <thead>
            <tr className="border-b border-line text-left text-12 text-ink-3">
              <th className="py-2 font-400">model</th>
              <th className="font-400 max-wide:hidden">for</th>
              <th className="text-right font-400">measured</th>
              <th className="text-right font-400">now</th>
            </tr>
          </thead>
          <tbody>
            {offers.map((offer) => (
              <tr key={offer.model} className="border-b border-line">
                <th scope="row" className="py-2 text-left font-600">
                  {offer.model}
                </th>
                <td className="text-ink-2 max-wide:hidden">{offer.workload}</td>
                <td className="text-right">{offer.units_per_s ? speed(offer.workload, offer.units_per_s) : 'not yet'}</td>
                <td className="text-right text-ink-2">{offer.warm ? 'warm' : `cold, ${span(offer.cold_load_s ?? 0)}`}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </>
  );
}
