/** The policy: its text with its tests, what a draft would change, and the versions that were. */
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { type ReactNode, useEffect, useState } from 'react';
import { Button, Failure, Field, INPUT, LINK, Segment } from '../parts/controls';
import { many, moment } from '../parts/words';
import { ApiError, get, post, put } from './api';
import { type Names, useMe, useNames, useNetwork } from './data';
import { Sentence, Waiting } from './Frame';
import { type Mark, PolicyEditor } from './PolicyEditor';

type Text = { version: number; text: string; note: string; name: string; at_ms: number };
type Version = { version: number; note: string; name: string; at_ms: number };
type Test = { name: string; expect: string; passed: boolean; reason: string; line: number; grant_line: number };
type Change = { member: string; workload: string; model: string; sensitivity: string; device: string; named: boolean; allowed: boolean; always: boolean };
type Tried = { tests: Test[]; changes: Change[]; words: string[]; more: boolean };
type Trying = { of: string; tried?: Tried; error?: ApiError };

/** A draft is tried when nothing was typed for so long. */
const PAUSE_MS = 500;

export function PolicyPage() {
  const network = useNetwork();
  const me = useMe();
  const admin = me.data?.networks.find((one) => one.network === network)?.role === 'admin';
  const policy = useQuery({ queryKey: ['policy', network], queryFn: () => get<Text>(`/v1/networks/${network}/policy`), staleTime: Infinity });
  if (!policy.data || !me.data) {
    return (
      <>
        <Sentence>
          <span className="text-ink-3">Policy</span>
        </Sentence>
        <Waiting error={policy.error} what="The policy" />
      </>
    );
  }
  return <Editing key={policy.data.version} saved={policy.data} admin={admin} />;
}

function Editing({ saved, admin }: { saved: Text; admin: boolean }) {
  const network = useNetwork();
  const names = useNames();
  const queries = useQueryClient();
  const [draft, setDraft] = useState(saved.text);
  const [view, setView] = useState<'text' | 'words'>('text');
  const trying = useTrying(network, draft, admin);
  const changed = draft !== saved.text;
  const tests = trying.tried?.tests ?? [];
  const failing = tests.filter((one) => !one.passed);
  const about = saved.version === 0 ? 'Nobody has changed it yet: it is the default.' : `Version ${saved.version}, by ${saved.name || 'somebody who left'}, ${moment(saved.at_ms)}${saved.note ? `: ${saved.note}` : ''}.`;
  return (
    <>
      <Sentence below={admin ? about : `${about} You can read it; an admin changes it.`}>{sentence(changed, trying, failing.length)}</Sentence>
      <div className="grid gap-6 wider:grid-cols-[minmax(0,1fr)_minmax(0,440px)]">
        <section className="min-w-0 max-wider:order-2">
          {admin && (
            <div className="mb-3">
              <Segment
                name="Show the policy as"
                value={view}
                onChange={setView}
                options={[
                  { value: 'text', label: 'Text' },
                  { value: 'words', label: 'In words', off: !trying.tried },
                ]}
              />
            </div>
          )}
          {view === 'words' && trying.tried ? (
            <ol className="list-decimal pl-6 text-14">
              {trying.tried.words.map((one) => (
                <li key={one} className="mb-2">
                  {one}
                </li>
              ))}
            </ol>
          ) : (
            <PolicyEditor text={draft} onChange={setDraft} marks={marksOf(failing, trying.error)} readOnly={!admin} />
          )}
        </section>
        {admin && (
          <aside className="min-w-0 max-wider:order-1">
            {trying.error && <Failure title="This is no policy yet" message={trying.error.message} code={trying.error.refused.code} />}
            {trying.tried && <Tests tests={tests} />}
            {trying.tried && changed && <Changes changes={trying.tried.changes} more={trying.tried.more} names={names} />}
            {changed && (
              <Save
                network={network}
                draft={draft}
                base={saved.version}
                why={whyNot(draft, trying, failing.length)}
                undo={() => setDraft(saved.text)}
                done={() => void queries.invalidateQueries({ queryKey: ['policy', network] })}
              />
            )}
          </aside>
        )}
      </div>
      <Versions network={network} current={saved.version} take={admin ? setDraft : undefined} />
    </>
  );
}

/** What the coordinator says of a draft, some moments after the last key; for whoever may change it. */
function useTrying(network: string, draft: string, may: boolean): Trying {
  const [trying, setTrying] = useState<Trying>({ of: '' });
  useEffect(() => {
    if (!may) return undefined;
    let over = false;
    const pause = setTimeout(async () => {
      const found = await post<Tried>(`/v1/networks/${network}/policy/try`, { text: draft }).then(
        (tried) => ({ of: draft, tried }),
        (error: unknown) => ({ of: draft, error: error as ApiError }),
      );
      if (!over) setTrying(found);
    }, PAUSE_MS);
    return () => {
      over = true;
      clearTimeout(pause);
    };
  }, [network, draft, may]);
  return trying;
}

function sentence(changed: boolean, trying: Trying, failing: number): string {
  if (trying.error) return 'This draft cannot be read yet.';
  if (failing > 0) return failing === 1 ? 'One test fails, so this cannot be saved.' : `${failing} tests fail, so this cannot be saved.`;
  if (changed && trying.tried) return `A draft: every test passes, ${trying.tried.changes.length === 0 ? 'and nothing would change' : `${many(trying.tried.changes.length, 'thing')} would change`}.`;
  return 'Who may run what, on which devices, with which data.';
}

function whyNot(draft: string, trying: Trying, failing: number): string {
  if (trying.of !== draft) return 'It is being tried…';
  if (trying.error) return 'It cannot be read: see above.';
  return failing > 0 ? 'A test fails: correct the grants, or the test.' : '';
}

export function marksOf(failing: Test[], error: ApiError | undefined): Mark[] {
  const marks = failing.flatMap((one) => [one.line, one.grant_line].filter((line) => line > 0).map((line) => ({ line, text: said(one) })));
  const at = /Line (\d+)/.exec(error?.message ?? '');
  return at ? [...marks, { line: Number(at[1]), text: error!.message }] : marks;
}

/** A failing test as a sentence: what the policy does, and what the test says. */
export function said(test: Test): string {
  const does = test.expect === 'deny' ? 'allows' : 'denies';
  const where = test.grant_line > 0 ? `Line ${test.grant_line} ${does}` : `The policy ${does}`;
  return `${where} what “${test.name}” says must be ${test.expect === 'deny' ? 'denied' : 'allowed'}.`;
}

function Tests({ tests }: { tests: Test[] }) {
  const failing = tests.filter((one) => !one.passed);
  const passing = tests.filter((one) => one.passed);
  return (
    <section>
      <h2 className="text-15 font-600">Tests</h2>
      <ul id="policy-marks" aria-live="polite" className="mt-2">
        {failing.map((one) => (
          <li key={one.name} className="mb-2 border-l-2 border-fail bg-fail-wash px-3 py-2 text-13">
            <b>× {one.name}</b> <span className="text-ink-2">line {one.line}</span>
            <span className="block">{said(one)}</span>
            <span className="block text-ink-2">{one.reason}</span>
          </li>
        ))}
        {passing.map((one) => (
          <li key={one.name} className="border-b border-line py-1.5 text-13">
            {one.name} <span className="text-ink-3">passes</span>
          </li>
        ))}
      </ul>
      {tests.length === 0 && <p className="mt-1 text-13 text-ink-2">None yet. A test says what must stay as it is: docs/policy.md shows how.</p>}
    </section>
  );
}

const SHOWN = 12;

function Changes({ changes, more, names }: { changes: Change[]; more: boolean; names: Names }) {
  const [all, setAll] = useState(false);
  const shown = all ? changes : changes.slice(0, SHOWN);
  return (
    <section className="mt-6">
      <h2 className="text-15 font-600">What would change</h2>
      {changes.length === 0 && <p className="mt-1 text-13 text-ink-2">Nothing: everybody could run what they can run now.</p>}
      <ul className="mt-2">
        {shown.map((one) => (
          <li key={JSON.stringify(one)} className="border-b border-line py-1.5 text-13">
            <b>{one.allowed ? '+' : '−'}</b> {names.person(one.member)} {one.allowed ? 'could run' : 'could no longer run'} {one.workload}
            {one.model && ` (${one.model})`} with {one.sensitivity} data on <b>{names.device(one.device)}</b>
            {one.named && ', if they name it'}
            {!one.always && ', at some times'}
          </li>
        ))}
      </ul>
      {changes.length > SHOWN && (
        <button type="button" className={`mt-2 text-13 ${LINK}`} onClick={() => setAll(!all)}>
          {all ? 'Fewer' : `All ${changes.length}`}
        </button>
      )}
      {more && <p className="mt-2 text-12 text-ink-3">The network is large: not everything was compared.</p>}
    </section>
  );
}

type SaveProps = { network: string; draft: string; base: number; why: string; undo: () => void; done: () => void };

function Save({ network, draft, base, why, undo, done }: SaveProps) {
  const [note, setNote] = useState('');
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<ApiError | null>(null);
  async function save() {
    setBusy(true);
    setError(null);
    try {
      await put(`/v1/networks/${network}/policy`, { text: draft, base_version: base, note });
      done();
    } catch (refused) {
      setError(refused as ApiError);
      setBusy(false);
    }
  }
  return (
    <section className="mt-6 border-t border-line pt-4">
      <Field label="Why" hint="Kept with the version, for the others.">
        <input className={INPUT} value={note} maxLength={200} onChange={(event) => setNote(event.target.value)} />
      </Field>
      <div className="mt-3 flex flex-wrap items-center gap-2">
        <Button look="primary" disabled={why !== ''} busy={busy && 'Saving…'} onClick={() => void save()}>
          Save this version
        </Button>
        <Button look="quiet" onClick={undo}>
          Discard
        </Button>
        {why && <span className="text-13 text-ink-2">{why}</span>}
      </div>
      {error && (
        <div className="mt-3">
          <Failure message={error.message} code={error.refused.code}>
            {error.refused.code === 'policy.stale' && <Theirs network={network} />}
          </Failure>
        </div>
      )}
    </section>
  );
}

/** Somebody saved another version meanwhile: theirs is shown, and nothing is overwritten. */
function Theirs({ network }: { network: string }) {
  const [theirs, setTheirs] = useState<Text | null>(null);
  if (theirs) {
    return (
      <div className="w-full">
        <p className="text-13">
          Version {theirs.version}, by {theirs.name}. Copy your draft, then load this page anew to go on from theirs.
        </p>
        <pre className="mt-2 max-h-[300px] overflow-auto rounded-8 bg-sunken p-3 text-12">{theirs.text}</pre>
      </div>
    );
  }
  return <Button onClick={async () => setTheirs(await get<Text>(`/v1/networks/${network}/policy`))}>Show theirs</Button>;
}

function Versions({ network, current, take }: { network: string; current: number; take: ((text: string) => void) | undefined }) {
  const found = useQuery({
    queryKey: ['policy', network, 'versions', current],
    queryFn: async () => (await get<{ versions: Version[] }>(`/v1/networks/${network}/policy/versions?limit=50`)).versions,
  });
  async function restore(version: number) {
    take?.((await get<Text>(`/v1/networks/${network}/policy?version=${version}`)).text);
    scrollTo({ top: 0 });
  }
  const rows: (Version | null)[] = [...(found.data ?? []), null];
  return (
    <section className="mt-8 max-w-[760px] border-t border-line pt-5">
      <h2 className="text-15 font-600">Versions</h2>
      <ul className="mt-2">
        {rows.map((one) => (
          <li key={one?.version ?? 0} className="flex items-baseline gap-4 border-b border-line py-2 text-13">
            <span className="min-w-0 wrap-anywhere flex-1">
              <b>{one ? one.version : 'Default'}</b> {one?.note}
              <span className="block text-12 text-ink-3">{one ? `${one.name || 'somebody who left'}, ${moment(one.at_ms)}` : 'where every network begins'}</span>
            </span>
            {(one?.version ?? 0) === current ? <span className="text-ink-3">holds now</span> : take && <Restore onClick={() => void restore(one?.version ?? 0)} />}
          </li>
        ))}
      </ul>
      <p className="mt-3 text-13 text-ink-2">
        <Link to="/n/$network/audit" params={{ network }} className={LINK}>
          What admins decided
        </Link>
      </p>
    </section>
  );
}

function Restore({ onClick }: { onClick: () => void }): ReactNode {
  return (
    <Button small look="quiet" onClick={onClick}>
      Take as draft
    </Button>
  );
}
