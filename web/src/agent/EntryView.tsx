/** One entry of the sheet: what was asked, what came, and beside it a stitch that says where. */
import { useMemo } from 'react';
import { LINK } from '../parts/controls';
import { credits, percent, span } from '../parts/words';
import type { PageRead, Peer, Ran } from './client';
import { devicesOf, type Entry, MODES } from './entries';
import { pairs, rows } from './vectors';

const PAIRS_SHOWN = 12;

type ViewProps = { entry: Entry; peers: Peer[]; me: string; dashboard: string; network: string };

export function EntryView({ entry, peers, me, dashboard, network }: ViewProps) {
  const device = entry.ran?.device ?? entry.begun?.device;
  const mode = MODES.find((one) => one.id === entry.mode)!;
  return (
    <article className="relative wide:pl-[56px]">
      <Stitch entry={entry} own={device === me} />
      <h2 className="mb-2 text-13 font-400 text-ink-3">
        {mode.label} · <span className="break-words">{entry.title}</span>
      </h2>
      {entry.mode === 'embeddings' && entry.ran && <Alike entry={entry} ran={entry.ran} />}
      {entry.mode === 'chat' && <Words entry={entry} />}
      {entry.mode === 'ocr' && <Pages entry={entry} />}
      <Foot entry={entry} peers={peers} me={me} dashboard={dashboard} network={network} />
    </article>
  );
}

/** A ring where it was asked, a bar where it was done: beside each other at home, apart when it went elsewhere. */
function Stitch({ entry, own }: { entry: Entry; own: boolean }) {
  const relayed = (entry.ran?.path ?? entry.begun?.path) === 'relayed';
  const ink = entry.error ? 'fail' : entry.ended ? (relayed ? 'relay' : 'quiet') : 'live';
  const strokes = { fail: 'stroke-fail', relay: 'stroke-relay', quiet: 'stroke-ink-3', live: 'stroke-live' };
  const fills = { fail: 'fill-ground stroke-fail', relay: 'fill-done stroke-relay', quiet: 'fill-done stroke-thread', live: 'fill-live-fill stroke-live-fill' };
  const home = own || (!entry.ran && !entry.begun);
  return (
    <div aria-hidden="true" className="absolute top-0 left-0 hidden h-full w-[36px] wide:block">
      <svg className="h-full w-full overflow-visible">
        {!home && <line x1="8" y1="10" x2="8" y2="calc(100% - 9px)" className={strokes[ink]} strokeWidth="1.7" />}
        {!home && <svg y="100%" className="overflow-visible"><rect x="8" y="-16" width="24" height="13" rx="2" className={fills[ink]} /></svg>}
        {home && <rect x="14" y="3" width="20" height="13" rx="2" className={fills[ink]} />}
        <circle cx={home ? 6 : 8} cy="9.5" r="4" className={`fill-ground ${strokes[ink]}`} strokeWidth="1.7" />
      </svg>
    </div>
  );
}

function Alike({ entry, ran }: { entry: Entry; ran: Ran }) {
  const found = useMemo(() => pairs(rows(ran.blobs?.[0] ?? '', Number(ran.manifest.dim))), [ran]);
  return (
    <>
      <table className="w-full max-w-[860px] text-14">
        <caption className="sr-only">How alike the texts are: 1 is the same meaning, 0 nothing in common</caption>
        <tbody>
          {found.slice(0, PAIRS_SHOWN).map((pair) => (
            <tr key={`${pair.one}-${pair.other}`} className="align-top">
              <td className="py-1 pr-6">
                <span className="block wide:inline-block wide:w-1/2 wide:pr-4 wide:align-top">{entry.texts[pair.one]}</span>
                <span className="block text-ink-2 wide:inline-block wide:w-1/2 wide:text-ink">{entry.texts[pair.other]}</span>
              </td>
              <td className="w-[90px] py-1 wide:w-[170px]">
                <svg className="mt-[5px] h-[10px] w-full" aria-hidden="true" preserveAspectRatio="none" viewBox="0 0 100 10">
                  <path d="M0 5h100" className="stroke-line" strokeWidth="2" />
                  <rect y="0" width={Math.max(pair.alike, 0.005) * 100} height="10" className="fill-edge" />
                </svg>
              </td>
              <td className="w-[56px] py-1 text-right font-600">{pair.alike.toFixed(2).replace('-', '−')}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {found.length > PAIRS_SHOWN && <p className="mt-1 text-12 text-ink-3">The {PAIRS_SHOWN} most alike of {found.length} pairs.</p>}
    </>
  );
}

function Words({ entry }: { entry: Entry }) {
  const going = !entry.ended;
  return (
    <p className="max-w-[42em] text-16 break-words whitespace-pre-wrap" aria-live="polite" aria-busy={going}>
      {entry.text}
      {going && entry.text && <span aria-hidden="true" className="ml-px inline-block h-[18px] w-[9px] translate-y-[3px] bg-live-fill" />}
    </p>
  );
}

const UNSURE = 0.6;

/** Each page as it was read: the picture with its lines boxed, the text beside it, unsure words underlined. */
function Pages({ entry }: { entry: Entry }) {
  return (
    <div className="grid gap-5">
      {entry.pages?.map((page) => (
        <div key={page.page} className="flex flex-col gap-5 wide:flex-row">
          {entry.picture && page.read && (
            <div className="relative max-w-[200px] shrink-0 self-start border border-line">
              <img src={entry.picture} alt="The page that was read" className="block w-full" />
              {page.read.turned === 0 && (
                <svg viewBox={`0 0 ${page.read.width} ${page.read.height}`} preserveAspectRatio="none" className="absolute inset-0 size-full" aria-hidden="true">
                  {page.read.lines.map((line) => {
                    const [left, top, right, bottom] = line.box;
                    const doubt = line.words.some((word) => word.confidence < UNSURE);
                    return (
                      <rect
                        key={line.box.join()}
                        x={left}
                        y={top}
                        width={right - left}
                        height={bottom - top}
                        vectorEffect="non-scaling-stroke"
                        className={`fill-none ${doubt ? 'stroke-warn' : 'stroke-live'}`}
                      />
                    );
                  })}
                </svg>
              )}
            </div>
          )}
          <div className="min-w-0">
            {(entry.pages?.length ?? 0) > 1 && <p className="text-12 text-ink-3">Page {page.page}</p>}
            {page.read && <Text read={page.read} />}
            {page.error && <p className="text-13 text-fail">{page.error.message}</p>}
          </div>
        </div>
      ))}
    </div>
  );
}

function Text({ read }: { read: NonNullable<PageRead['read']> }) {
  const unsure = read.lines.flatMap((line) => line.words).filter((word) => word.confidence < UNSURE).length;
  return (
    <>
      <pre className="text-13 leading-6 break-words whitespace-pre-wrap">
        {read.lines.map((line) => (
          <span key={line.box.join()}>
            {line.words.map((word) => (
              <span key={word.box.join()}>
                <span className={word.confidence < UNSURE ? 'text-warn underline decoration-dotted underline-offset-4' : ''}>{word.text}</span>{' '}
              </span>
            ))}
            {'\n'}
          </span>
        ))}
      </pre>
      {read.lines.length === 0 && <p className="text-13 text-ink-2">Nothing was found to read on this page.</p>}
      {unsure > 0 && (
        <p className="mt-2 text-13 text-ink-2">
          {unsure} {unsure === 1 ? 'word' : 'words'} below 60 % sure, marked.
        </p>
      )}
    </>
  );
}

/** Where it ran, by which path, how long, for how much, and who could see it. */
function Foot({ entry, peers, me, dashboard, network }: ViewProps) {
  if (entry.error) return <Refused entry={entry} peers={peers} />;
  if (entry.stopped) return <p className="mt-2 text-13 text-ink-3">Stopped. The device that worked on it was told.</p>;
  const device = entry.ran?.device ?? entry.begun?.device;
  if (!device && entry.ended) return <p className="mt-2 text-13 text-ink-3">Nothing was charged.</p>;
  if (!device) return <p className="mt-2 text-13 text-live" aria-live="polite">{waiting(entry)}</p>;
  const peer = (id: string) => peers.find((one) => one.device === id);
  const nameOf = (id: string) => peer(id)?.name ?? (id === me ? 'this device' : 'another device');
  const isOwn = (id: string) => id === me || !!peer(id)?.own;
  const [own, name] = [isOwn(device), nameOf(device)];
  const beside = devicesOf(entry).filter((one) => one !== device);
  const others = devicesOf(entry).filter((one) => !isOwn(one));
  const took = ((entry.ended ?? Date.now()) - entry.started) / 1000;
  const path = entry.ran?.path ?? entry.begun?.path;
  const parts = [
    device === me ? `${name} itself` : `${name}, ${own ? 'yours' : 'another member’s'}`,
    beside.length ? `and ${listed(beside.map(nameOf))}` : '',
    path === 'local' ? '' : path,
    entry.first ? `first word ${span((entry.first - entry.started) / 1000)}` : '',
    entry.ended ? span(took) : '',
    entry.ran?.model ?? entry.begun?.model,
  ].filter(Boolean);
  const tries = entry.ran?.attempts?.length ?? 1;
  return (
    <p className={`mt-2 text-13 ${entry.ended ? 'text-ink-2' : 'text-live'}`}>
      {parts.join(' · ')}
      {entry.ended && ` · ${entry.ran?.charge ? `${credits(entry.ran.charge)} credits` : others.length ? 'free' : 'free, your own machine'}`}
      {tries > 1 && ` · attempt ${tries}`}
      {entry.ran && dashboard && (
        <>
          {' · '}
          <a className={LINK} href={`${dashboard}/n/${network}/jobs/${entry.ran.job}`} target="_blank" rel="noreferrer">
            why {name}
          </a>
        </>
      )}
      <span className="block text-ink-3">{seenBy(others.map(nameOf))}</span>
    </p>
  );
}

function seenBy(others: string[]): string {
  if (!others.length) return 'Nobody but you could see it.';
  return `The ${others.length > 1 ? 'owners' : 'owner'} of ${listed(others)} could see it.`;
}

function listed(names: string[]): string {
  return names.length > 1 ? `${names.slice(0, -1).join(', ')} and ${names.at(-1)}` : (names[0] ?? '');
}

function waiting(entry: Entry): string {
  if (!entry.stage) return 'Asking for a device…';
  return entry.fraction ? `${entry.stage}, ${percent(entry.fraction)}` : `${entry.stage}…`;
}

type Gate = { device: string; gate: string; reason?: string };

function Refused({ entry, peers }: { entry: Entry; peers: Peer[] }) {
  const error = entry.error!;
  const gates = (error.facts?.gates as Gate[] | undefined) ?? [];
  return (
    <div role="alert" className="mt-1 max-w-[62em] border-l-2 border-fail pl-4 text-14">
      <p>{error.message} Nothing was charged.</p>
      {gates.length > 0 && (
        <ul className="mt-2 text-13">
          {gates.map((gate) => (
            <li key={`${gate.device}${gate.gate}`} className="border-t border-line py-1">
              <b>{peers.find((peer) => peer.device === gate.device)?.name ?? gate.device}</b> {gate.gate}: {gate.reason || 'no'}
            </li>
          ))}
        </ul>
      )}
      <code className="mt-1 block text-12 text-ink-3 select-all">{error.code}</code>
    </div>
  );
}
