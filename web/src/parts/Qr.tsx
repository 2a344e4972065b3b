/** A text as a code for another machine's camera: dark on white in both themes, as cameras expect it. */
import { useQuery } from '@tanstack/react-query';
import { post } from '../dashboard/api';

export function Qr({ text }: { text: string }) {
  const code = useQuery({ queryKey: ['qr', text], queryFn: () => post<{ rows: string[] }>('/v1/qr', { text }), staleTime: Infinity, gcTime: 0 });
  const rows = code.data?.rows;
  if (!rows) return <div className="size-[200px] bg-sunken" />;
  const size = rows.length + 8;
  const path = rows.map((row, y) => [...row].map((dark, x) => (dark === '1' ? `M${x + 4} ${y + 4}h1v1h-1z` : '')).join('')).join('');
  return (
    <svg viewBox={`0 0 ${size} ${size}`} role="img" aria-label="The same link as a code to scan" className="size-[200px] bg-qr-light" shapeRendering="crispEdges">
      <path d={path} className="fill-qr-dark" />
    </svg>
  );
}
