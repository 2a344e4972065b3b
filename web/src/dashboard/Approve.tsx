/** A device that waits is let in by an admin. */
import { useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { Button, Failure } from '../parts/controls';
import { ApiError, post } from './api';
import { useNetwork } from './data';

export function Approve({ device }: { device: string }) {
  const network = useNetwork();
  const queries = useQueryClient();
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<ApiError | null>(null);
  async function approve() {
    setBusy(true);
    try {
      await post(`/v1/networks/${network}/devices/${device}/approve`);
      await queries.invalidateQueries({ queryKey: ['picture'] });
    } catch (refused) {
      setError(refused as ApiError);
    }
    setBusy(false);
  }
  return (
    <>
      <Button look="primary" busy={busy && 'Approving…'} onClick={approve}>
        Approve
      </Button>
      {error && <Failure message={error.message} code={error.refused.code} />}
    </>
  );
}
