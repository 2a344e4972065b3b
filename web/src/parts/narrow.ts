/** Whether the page is as narrow as a phone. */
import { useEffect, useMemo, useState } from 'react';

export function useNarrow(): boolean {
  const query = useMemo(() => matchMedia('(max-width: 639px)'), []);
  const [narrow, setNarrow] = useState(query.matches);
  useEffect(() => {
    const changed = () => setNarrow(query.matches);
    query.addEventListener('change', changed);
    return () => query.removeEventListener('change', changed);
  }, [query]);
  return narrow;
}
