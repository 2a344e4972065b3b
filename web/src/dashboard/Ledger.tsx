/** The ledger: everything hangs from one upright, zero; what is paid left of it is as long as what is received right. */
import { keepPreviousData, useInfiniteQuery, useQuery } from '@tanstack/react-query';
import { useNavigate, useSearch } from '@tanstack/react-router';
import { useMemo } from 'react';
import { Button, Failure, LINK } from '../parts/controls';
import { many } from '../parts/words';
import { bars, scale } from '../pictures/plumb';
import { type Account, ApiError, get, type LedgerLine } from './api';
import { useMe, useNames, useNetwork, usePicture } from './data';
import { Sentence, Waiting } from './Frame';
import { Balances } from './LedgerBalances';
import { LedgerChart } from './LedgerChart';
import { asked, exported, LedgerFilter, type Narrowed, narrowedOf } from './LedgerFilter';
import { grouping, Line, sealedHere, total } from './LedgerLine';
import { Bob } from './plumbParts';
import { PriceNotice } from './PriceNotice';
import { ledgerSentence } from './sentences';

const PAGE = 50;

type Proof = { ok: boolean; total: number; postings: number; entries: number; sealed: number; wrong: null | Record<string, unknown> };

export function LedgerPage() {
  const network = useNetwork();
  const mine = useMe().data;
  const me = mine?.member ?? '';
  const admin = mine?.networks.find((one) => one.network === network)?.role === 'admin';
  const names = useNames();
  const picture = usePicture();
  const navigate = useNavigate();
  const narrowed = narrowedOf(useSearch({ strict: false }));
  const narrow = (search: Narrowed) => void navigate({ to: '/n/$network/ledger', params: { network }, search });
  const wanted = asked(narrowed);
  const accounts = useQuery({
    queryKey: ['balances', network],
    queryFn: async () => (await get<{ accounts: Account[] }>(`/v1/networks/${network}/balances`)).accounts,
  });
  const lines = useInfiniteQuery({
    queryKey: ['ledger', network, wanted],
    initialPageParam: '',
    queryFn: ({ pageParam }) =>
      get<{ lines: LedgerLine[]; cursor: string | null }>(
        `/v1/networks/${network}/ledger?limit=${PAGE}&${wanted}${pageParam ? `&cursor=${encodeURIComponent(pageParam)}` : ''}`,
      ),
    getNextPageParam: (last) => last.cursor ?? undefined,
    placeholderData: keepPreviousData,
  });
  const proof = useQuery({ queryKey: ['verify', network], queryFn: () => get<Proof>(`/v1/networks/${network}/ledger/verify`), staleTime: Infinity });
  const shown = useMemo(() => grouping(lines.data?.pages.flatMap((page) => page.lines) ?? []), [lines.data]);
  if (!accounts.data) {
    return (
      <>
        <Sentence>
          <span className="text-ink-3">Ledger</span>
        </Sentence>
        <Waiting error={accounts.error} what="The ledger" />
      </>
    );
  }
  const by = narrowed.by ?? 'member';
  const everyone = by === 'device' ? (picture.data?.devices.map((one) => one.device) ?? []) : bars(accounts.data.filter((one) => one.member && one.kind !== 'aside')).map((one) => one.member!);
  const expected = everyone.filter((who) => (by === 'device' ? !narrowed.device || who === narrowed.device : admin ? !narrowed.member || who === narrowed.member : who === me));
  const full = scale(shown.map((one) => total(one.entries)));
  return (
    <>
      <Sentence below={<Checked proof={proof.data} error={proof.error} again={() => void proof.refetch()} busy={proof.isFetching} />}>
        {ledgerSentence(accounts.data, me)}
      </Sentence>
      <PriceNotice />
      <div className="mb-2 flex flex-wrap items-center gap-3">
        <LedgerFilter value={narrowed} onChange={narrow} me={me} all={admin} />
        {shown.length > 0 && <Export wanted={exported(narrowed)} />}
      </div>
      <LedgerChart
        by={by}
        onBy={(next) => narrow({ ...narrowed, by: next === 'device' ? 'device' : undefined })}
        wanted={wanted}
        expected={expected}
        names={names}
      />
      <Balances accounts={accounts.data} me={me} names={names} />
      <ol className="relative">
        {shown.map((one, at) => (
          <Line key={one.id} posting={one} full={full} me={me} names={names} sealed={sealedHere(shown, at)} />
        ))}
      </ol>
      <Bob />
      {lines.error && <Waiting error={lines.error} what="The lines" />}
      {lines.data && shown.length === 0 && (
        <p className="mt-5 text-13 text-ink-2">
          {wanted ? 'No lines like that. ' : 'No lines yet. The first job that somebody does for somebody else writes one.'}
          {wanted && (
            <button type="button" className={LINK} onClick={() => narrow({ by: narrowed.by })}>
              Show all
            </button>
          )}
        </p>
      )}
      {lines.hasNextPage && (
        <Button className="mt-5" busy={lines.isFetchingNextPage && 'Fetching…'} onClick={() => void lines.fetchNextPage()}>
          Older lines
        </Button>
      )}
    </>
  );
}

function Checked({ proof, error, again, busy }: { proof: Proof | undefined; error: unknown; again: () => void; busy: boolean }) {
  if (error instanceof ApiError) return <Failure message={error.message} code={error.refused.code} />;
  if (!proof) return <>Adding everything up…</>;
  return (
    <>
      {proof.ok ? (
        `Checked: ${many(proof.postings, 'posting')}, ${many(proof.entries, 'entry', 'entries')}, sum 0.00.`
      ) : (
        <b className="text-fail">It does not add up. The first row that is wrong: {JSON.stringify(proof.wrong)}</b>
      )}{' '}
      <button type="button" className={LINK} onClick={again}>
        {busy ? 'Checking…' : 'Check again'}
      </button>
    </>
  );
}

/** All that the filter finds, not only what is shown, as a file that the coordinator writes. */
function Export({ wanted }: { wanted: string }) {
  const network = useNetwork();
  const look = 'inline-grid h-[32px] place-items-center rounded-6 border border-edge px-3.5 text-13 font-600 whitespace-nowrap hover:border-ink pointer-coarse:h-[44px]';
  const file = (format: string) => `/v1/networks/${network}/ledger/export?format=${format}&${wanted}`;
  return (
    <span className="ml-auto flex gap-2">
      <a href={file('csv')} download="ledger.csv" className={look}>
        Export CSV
      </a>
      <a href={file('jsonl')} download="ledger.jsonl" className={`${look} max-wide:hidden`}>
        JSON Lines
      </a>
    </span>
  );
}
