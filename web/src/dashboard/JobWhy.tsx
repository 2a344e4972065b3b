/** Why a job went where it went, in words, as a picture and as a sum. */
import { useMemo, useState } from 'react';
import { LINK } from '../parts/controls';
import { type Candidate, rounded, TERM_WORDS, TERMS } from '../pictures/through';
import { type Job, type Why } from './api';
import { type Names } from './data';
import { Attempts } from './Attempts';
import { Line } from './ThroughLine';

/** Reasons name devices by their ids; people know them by name. */
function named(text: string, ids: string[], names: Names): string {
  return ids.reduce((said, id) => said.replaceAll(id, names.device(id)), text);
}

export function Explained({ job, why, names }: { job: Job; why: Why; names: Names }) {
  const candidates = useMemo(() => {
    const ids = [...new Set([...why.scores.map((one) => one.device), ...why.gates.map((one) => one.device)])];
    return ids.map((id): Candidate => {
      const score = why.scores.find((one) => one.device === id) ?? null;
      return { id, score, chosen: id === why.chosen, failed: score ? [] : why.gates.filter((one) => one.device === id && !one.passed) };
    });
  }, [why]);
  const scored = candidates.filter((one) => one.score).sort((a, b) => b.score!.total - a.score!.total);
  const chosen = scored.find((one) => one.chosen);
  const [against, setAgainst] = useState<string | null>(null);
  const [ghost, setGhost] = useState(false);
  const runner = scored.find((one) => one.id === against) ?? scored.find((one) => !one.chosen);
  const ids = candidates.map((one) => one.id);
  return (
    <>
      <section className="mt-7">
        <h2 className="mb-3 text-15 font-600">{why.chosen ? `Why ${names.device(why.chosen)}` : 'Why nowhere'}</h2>
        {candidates.length === 0 ? (
          <p className="text-13 text-ink-2">It was not placed by the coordinator: its requester went to a device that was at hand, or the explanation is gone.</p>
        ) : (
          <Line candidates={candidates} names={names} ghost={ghost && runner ? { id: runner.id, by: chosen!.score!.total - runner.score!.total } : null} />
        )}
      </section>
      <div className="mt-9 grid gap-x-16 gap-y-9 wider:grid-cols-2">
        {why.would_change.length > 0 && (
          <section>
            <h2 className="mb-3 text-15 font-600">What would have changed it</h2>
            <ul>
              {why.would_change.map((text) => (
                <li key={text} className="flex gap-4 border-b border-line py-2.5 text-13">
                  <span className="flex-1">{named(text, ids, names)}.</span>
                  {runner && chosen && text.startsWith(runner.id) && text.includes('would be first') && (
                    <button type="button" className={LINK} aria-pressed={ghost} onClick={() => setGhost(!ghost)}>
                      {ghost ? 'shown above' : 'show'}
                    </button>
                  )}
                </li>
              ))}
            </ul>
          </section>
        )}
        {chosen && runner && (
          <section>
            <h2 className="mb-3 flex flex-wrap items-baseline gap-2 text-15 font-600">
              {names.device(chosen.id)} against{' '}
              {scored.length > 2 ? (
                <select aria-label="Against which device" value={runner.id} onChange={(event) => setAgainst(event.target.value)} className="rounded-4 border border-line bg-transparent px-1 font-600">
                  {scored
                    .filter((one) => !one.chosen)
                    .map((one) => (
                      <option key={one.id} value={one.id} className="bg-raised">
                        {names.device(one.id)}
                      </option>
                    ))}
                </select>
              ) : (
                names.device(runner.id)
              )}
            </h2>
            <Terms one={chosen} other={runner} names={names} />
          </section>
        )}
      </div>
      <Attempts job={job} names={names} />
    </>
  );
}

function Terms({ one, other, names }: { one: Candidate; other: Candidate; names: Names }) {
  const mine = rounded(one.score!.terms, one.score!.total);
  const theirs = rounded(other.score!.terms, other.score!.total);
  const difference = (value: number) => (value > 0 ? `+${value.toFixed(3)}` : value < 0 ? `−${Math.abs(value).toFixed(3)}` : '0.000');
  return (
    <table className="w-full text-13">
      <thead>
        <tr className="border-b border-line text-12 text-ink-3">
          <th className="py-2 text-left font-400">term</th>
          <th className="text-right font-600 text-live">{names.device(one.id)}</th>
          <th className="text-right font-400">{names.device(other.id)}</th>
          <th className="text-right font-400">difference</th>
        </tr>
      </thead>
      <tbody>
        {TERMS.map((term) => (
          <tr key={term} className="border-b border-line">
            <th scope="row" className="py-2 text-left font-400">
              {TERM_WORDS[term]}
            </th>
            <td className="text-right text-live">{mine[term].toFixed(3)}</td>
            <td className="text-right">{theirs[term].toFixed(3)}</td>
            <td className="text-right">{difference(mine[term] - theirs[term])}</td>
          </tr>
        ))}
        <tr className="border-t-2 border-edge font-600">
          <th scope="row" className="py-2 text-left">
            total
          </th>
          <td className="text-right text-live">{one.score!.total.toFixed(3)}</td>
          <td className="text-right">{other.score!.total.toFixed(3)}</td>
          <td className="text-right">{difference(Math.round(one.score!.total * 1000) / 1000 - Math.round(other.score!.total * 1000) / 1000)}</td>
        </tr>
      </tbody>
    </table>
  );
}
