/** Vouching for a person: their devices' work is not checked, and their pay does not wait. */
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { Ask } from '../parts/Ask';
import { Button } from '../parts/controls';
import { get, put } from './api';
import { useNetwork } from './data';

export function Trust({ member, name }: { member: string; name: string }) {
  const network = useNetwork();
  const queries = useQueryClient();
  const [asking, setAsking] = useState(false);
  const path = `/v1/networks/${network}/members/${member}/credit`;
  const found = useQuery({ queryKey: ['review', network, 'trust', member], queryFn: async () => (await get<{ trusted: boolean }>(path)).trusted });
  if (found.data === undefined) return null;
  const to = !found.data;
  const verb = to ? 'Trust the owner' : 'Trust the owner no more';
  return (
    <>
      <Button look="quiet" onClick={() => setAsking(true)}>
        {verb}…
      </Button>
      {asking && (
        <Ask
          title={`${verb}: ${name}?`}
          yes={verb}
          no="Leave it"
          doing="Noting…"
          close={() => setAsking(false)}
          onYes={async () => {
            await put(path, { trusted: to });
            await queries.invalidateQueries({ queryKey: ['review'] });
          }}
        >
          {to
            ? `You vouch for ${name}: work of their devices is not checked, and their pay does not wait. What waits here still wants its own answer. You can take it back.`
            : `Work of ${name}’s devices is checked as everybody’s, and their pay waits as long.`}
        </Ask>
      )}
    </>
  );
}
