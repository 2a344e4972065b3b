/** A policy's text with its line numbers; lines that a failing test points at are marked, and say why below. */


export type Mark = { line: number; text: string };

type EditorProps = { text: string; onChange: (text: string) => void; marks: Mark[]; readOnly: boolean };

const LINE = 20;

export function PolicyEditor({ text, onChange, marks, readOnly }: EditorProps) {
  const lines = text.split('\n').map((_, at) => at + 1);
  const failing = new Set(marks.map((mark) => mark.line));
  const height = (lines.length + 1) * LINE + 24;
  return (
    <div className="relative flex overflow-hidden rounded-8 border border-edge bg-raised" style={{ height }}>
      <ol aria-hidden="true" className="relative z-1 w-[44px] shrink-0 border-r border-line bg-sunken py-3 text-right font-code text-12 text-ink-3">
        {lines.map((line) => (
          <li key={line} className={`h-[20px] px-2 leading-[20px] ${failing.has(line) ? 'font-600 text-fail' : ''}`}>
            {failing.has(line) ? '×' : line}
          </li>
        ))}
      </ol>
      <div className="relative min-w-0 flex-1">
        {[...failing].map((line) => (
          <span key={line} aria-hidden="true" className="absolute inset-x-0 h-[20px] bg-fail-wash" style={{ top: 12 + (line - 1) * LINE }} />
        ))}
        <textarea
          aria-label="The policy"
          aria-describedby={marks.length > 0 ? 'policy-marks' : undefined}
          spellCheck={false}
          wrap="off"
          readOnly={readOnly}
          value={text}
          onChange={(event) => onChange(event.target.value)}
          className="absolute inset-0 size-full resize-none overflow-x-auto overflow-y-hidden bg-transparent px-3 py-3 font-code text-13 leading-[20px] whitespace-pre text-ink"
        />
      </div>
    </div>
  );
}
