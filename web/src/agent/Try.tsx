/** Trying things out: a running sheet of entries, and a composer at its foot. Nothing typed outlives the tab. */
import { type Dispatch, type FormEvent, type SetStateAction, useRef, useState } from 'react';
import { Button, LINK, Pick, Segment } from '../parts/controls';
import { AgentError, ask, type Line, type PageRead, type Peer, type Ran, type Status } from './client';
import { asRan, type Entry, type Mode, MODES } from './entries';
import { EntryView } from './EntryView';
import { Forecast } from './Forecast';

const PROMISE =
  'The coordinator and the relay never see your data and hold no key that opens it. The device that does the work sees it, and so can its owner. A coordinator that was taken over could admit a device of its own: every admission is shown to all members, sensitive jobs go only to devices admitted by you or an admin’s device, and device lock closes the gap for all jobs. A page trusts whoever serves it: what is typed into a page served by your own agent stays with your agent.';
const FILE_BYTES_MAX = 20_000_000;

type TryProps = {
  entries: Entry[];
  setEntries: Dispatch<SetStateAction<Entry[]>>;
  status: Status | undefined;
  peers: Peer[];
  workloads: string[];
  dashboard: string;
};

export function Try({ entries, setEntries, status, peers, workloads, dashboard }: TryProps) {
  const [whole, setWhole] = useState(false);
  const running = useRef<AbortController | null>(null);
  const [busy, setBusy] = useState(false);

  async function run(entry: Entry, request: object) {
    const change = (next: (old: Entry) => Entry) =>
      setEntries((all) => all.map((one) => (one.id === entry.id ? next(one) : one)));
    const stop = new AbortController();
    running.current = stop;
    setEntries((all) => [...all, entry]);
    setBusy(true);
    try {
      const ran = await ask<Ran>(request, (line) => change((old) => heard(old, line)), stop.signal);
      change((old) => ({ ...old, ran: entry.mode === 'ocr' ? asRan(old) : ran, ended: Date.now() }));
    } catch (error) {
      const refused = error instanceof AgentError ? error.refused : { code: 'page.failed', kind: 'failed', message: String(error) };
      change((old) => ({ ...old, ended: Date.now(), ...(stop.signal.aborted ? { stopped: true } : { error: refused }) }));
    } finally {
      setBusy(false);
    }
  }

  return (
    <>
      <h1 className="max-w-[30em] text-21 font-450 tracking-[-0.012em] wide:text-27 wide:leading-[35px]">
        What you type here reaches this machine and the one that works.
      </h1>
      <p className="mt-2 mb-8 max-w-[62em] text-13 text-ink-2">
        {whole
          ? PROMISE
          : 'The owner of that machine could see it too. The coordinator learns that a job ran, where, how long and for how much; never a word of what is in it.'}{' '}
        <button type="button" className={LINK} aria-expanded={whole} onClick={() => setWhole(!whole)}>
          {whole ? 'Shorter' : 'The whole promise'}
        </button>
      </p>
      <div className="grid gap-9">
        {entries.map((entry) => (
          <EntryView key={entry.id} entry={entry} peers={peers} me={status?.device ?? ''} dashboard={dashboard} network={status?.network ?? ''} />
        ))}
      </div>
      <Composer
        workloads={workloads}
        peers={peers}
        status={status}
        busy={busy}
        onRun={run}
        onStop={() => running.current?.abort()}
        history={entries}
      />
    </>
  );
}

/** Takes a line that the agent said into its entry. */
function heard(entry: Entry, line: Line): Entry {
  if (line.a === 'progress') return { ...entry, stage: String(line.stage), fraction: Number(line.fraction) };
  if (line.a === 'begun') {
    const begun = { device: String(line.device), path: String(line.path), model: String(line.model) };
    return { ...entry, begun, stage: undefined };
  }
  if (line.a === 'said') return { ...entry, first: entry.first ?? Date.now(), text: entry.text + String(line.text) };
  if (line.a === 'pageread') {
    const page = line as unknown as PageRead;
    const begun = page.device ? { device: page.device, path: page.path ?? '', model: page.model } : entry.begun;
    return { ...entry, begun, pages: [...(entry.pages ?? []), page] };
  }
  return entry;
}

type ComposerProps = {
  workloads: string[];
  peers: Peer[];
  status: Status | undefined;
  busy: boolean;
  history: Entry[];
  onRun: (entry: Entry, request: object) => void;
  onStop: () => void;
};

/** A file that was chosen; `number` tells it from one chosen before. */
type Paper = { file: File; content: string; number: number };

let made = 0;

function Composer({ workloads, peers, status, busy, history, onRun, onStop }: ComposerProps) {
  const known = MODES.filter((mode) => workloads.includes(mode.id));
  const [wanted, setMode] = useState<Mode>('chat');
  const mode = known.some((one) => one.id === wanted) ? wanted : (known[0]?.id ?? 'embeddings');
  const [text, setText] = useState('');
  const [paper, setPaper] = useState<Paper | null>(null);
  const [route, setRoute] = useState('auto');
  const [picked, setPicked] = useState('');
  const [sensitivity, setSensitivity] = useState<'public' | 'private' | 'sensitive'>('private');
  const [problem, setProblem] = useState('');
  const form = useRef<HTMLFormElement>(null);

  const models = offered(status, mode);
  const model = models.includes(picked) ? picked : '';
  const base = { c: 'run', workload: mode, sensitivity, routing: routing(route), ...(model && { model }) };
  const texts = text.split('\n').map((line) => line.trim()).filter(Boolean);
  const job = jobOf();
  const mark = mode === 'ocr' ? `${paper?.number} ${route} ${sensitivity}` : undefined;

  /** The job that is written here so far; null where it is none yet. */
  function jobOf(): object | null {
    if (mode === 'embeddings') return texts.length < 2 ? null : { ...base, manifest: { texts } };
    if (mode === 'ocr') {
      return paper && { c: 'readfiles', files: [{ name: paper.file.name, content: paper.content }], sensitivity, routing: routing(route) };
    }
    if (!text.trim()) return null;
    const messages = [...said(history), { role: 'user', content: text.trim() }];
    return { ...base, manifest: { messages, trim: true }, stream: true };
  }

  function submit(event: FormEvent) {
    event.preventDefault();
    setProblem('');
    const entry: Entry = { id: (made += 1), mode, title: '', texts: [], started: Date.now(), text: '' };
    if (mode === 'ocr') {
      if (!paper || !job) return setProblem('Choose a picture or a PDF first.');
      const picture = paper.file.type.startsWith('image/') ? URL.createObjectURL(paper.file) : undefined;
      onRun({ ...entry, title: paper.file.name, picture, pages: [] }, job);
      return setPaper(null);
    }
    if (!job) return setProblem(mode === 'embeddings' ? 'Two texts or more can be compared: one per line.' : 'Write something first.');
    if (mode === 'embeddings') onRun({ ...entry, title: `${texts.length} texts`, texts }, job);
    else onRun({ ...entry, title: text.trim(), texts: [text.trim()] }, job);
    setText('');
    return undefined;
  }

  async function take(taken: File | undefined) {
    if (!taken || !workloads.includes('ocr')) return;
    setMode('ocr');
    setProblem('');
    setPaper(null);
    if (taken.size > FILE_BYTES_MAX) setProblem('This file is over 20 MB. Split it, or use mesh run ocr.');
    else setPaper({ file: taken, content: await base64(taken), number: (made += 1) });
  }

  return (
    <form
      ref={form}
      onSubmit={submit}
      onDragOver={(event) => event.preventDefault()}
      onDrop={(event) => {
        event.preventDefault();
        take(event.dataTransfer.files[0]);
      }}
      className="mt-9 wide:ml-[56px]"
    >
      <div className="rounded-10 border border-edge bg-raised p-3.5 focus-within:border-ink">
        {mode === 'ocr' ? (
          <label className={`block py-2 text-14 ${paper ? 'text-ink' : 'text-ink-3'}`}>
            {paper ? paper.file.name : 'Drop a page here, or '}
            <input type="file" accept="image/png,image/jpeg,image/webp,application/pdf" className="ml-2 text-13" onChange={(event) => take(event.target.files?.[0])} />
          </label>
        ) : (
          <textarea
            value={text}
            rows={mode === 'embeddings' ? 3 : 2}
            aria-label={MODES.find((one) => one.id === mode)!.hint}
            placeholder={MODES.find((one) => one.id === mode)!.hint}
            onChange={(event) => setText(event.target.value)}
            onKeyDown={(event) => {
              const send = event.key === 'Enter' && (event.ctrlKey || event.metaKey || (mode === 'chat' && !event.shiftKey));
              if (send && !busy) {
                event.preventDefault();
                form.current?.requestSubmit();
              }
            }}
            className="block w-full resize-none bg-transparent text-14 leading-5 text-ink outline-none placeholder:text-ink-3"
          />
        )}
        <div className="mt-2 flex flex-wrap items-center gap-2">
          <Segment name="What to do" value={mode} onChange={setMode} options={known.map(({ id, label }) => ({ value: id, label }))} />
          {models.length > 0 && <Pick name="Model" value={model} onChange={setPicked} options={choices(models)} />}
          <Pick name="Where" value={route} onChange={setRoute} options={routes(peers, status)} />
          <Pick name="How private" value={sensitivity} onChange={setSensitivity} options={PRIVACY} />
          <span className="ml-auto">
            {/* two buttons, not one that turns into the other: a click on Stop would end on Send */}
            {busy ? (
              <Button key="stop" look="fail" onClick={onStop}>
                Stop
              </Button>
            ) : (
              <Button key="send" look="primary" type="submit">
                Send
              </Button>
            )}
          </span>
        </div>
      </div>
      <p aria-live="polite" className={`mt-2 text-12 ${problem ? 'text-fail' : 'text-ink-3'}`}>
        {problem || <Forecast job={busy ? null : job} mark={mark} peers={peers} me={status?.device ?? ''} otherwise={FREE[mode]} />}
      </p>
    </form>
  );
}

const FREE = {
  embeddings: 'Ctrl-Enter sends. On your own machines it is free.',
  chat: 'On your own machines it is free.',
  ocr: 'On your own machines it is free.',
};

/** The models of this device for this work. OCR has one. */
function offered(status: Status | undefined, mode: Mode): string[] {
  const offers = status?.capability?.offers ?? [];
  return mode === 'ocr' ? [] : offers.filter((offer) => offer.workload === mode).map((offer) => offer.model);
}

function choices(models: string[]) {
  return [{ value: '', label: 'usual model' }, ...models.map((model) => ({ value: model, label: model }))];
}

const PRIVACY = [
  { value: 'public', label: 'public' },
  { value: 'private', label: 'private' },
  { value: 'sensitive', label: 'sensitive' },
] as const;

function routes(peers: Peer[], status: Status | undefined) {
  const devices = peers.filter((peer) => peer.device !== status?.device);
  const here = status ? [{ value: `device:${status.device}`, label: `here, ${status.name}` }] : [];
  return [
    { value: 'auto', label: 'best device' },
    { value: 'local', label: 'near by' },
    ...here,
    ...devices.map((peer) => ({ value: `device:${peer.device}`, label: peer.name })),
  ];
}

function routing(route: string): object {
  return route.startsWith('device:') ? { mode: 'device', device: route.slice(7) } : { mode: route };
}

/** What was said so far in this tab, as a model hears it. */
function said(history: Entry[]): { role: string; content: string }[] {
  return history
    .filter((entry) => entry.mode === 'chat' && entry.ran && entry.text)
    .slice(-8)
    .flatMap((entry) => [
      { role: 'user', content: entry.title },
      { role: 'assistant', content: entry.text },
    ]);
}

function base64(file: File): Promise<string> {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.addEventListener('load', () => resolve(String(reader.result).split(',', 2)[1] ?? ''));
    reader.addEventListener('error', () => reject(new Error('This file cannot be read.')));
    reader.readAsDataURL(file);
  });
}
