/** System, light or dark: kept in this browser, set before the first paint by theme.js. */
import { useState } from 'react';
import { Segment } from './controls';

type Wanted = 'system' | 'light' | 'dark';

export function Theme() {
  const [wanted, setWanted] = useState<Wanted>(() => (localStorage.getItem('theme') as Wanted | null) ?? 'system');
  function choose(next: Wanted) {
    setWanted(next);
    if (next === 'system') localStorage.removeItem('theme');
    else localStorage.setItem('theme', next);
    const dark = next === 'dark' || (next === 'system' && matchMedia('(prefers-color-scheme: dark)').matches);
    document.documentElement.dataset.theme = dark ? 'dark' : 'light';
  }
  return (
    <Segment
      name="Theme"
      value={wanted}
      onChange={choose}
      options={[
        { value: 'system', label: 'System' },
        { value: 'light', label: 'Light' },
        { value: 'dark', label: 'Dark' },
      ]}
    />
  );
}
