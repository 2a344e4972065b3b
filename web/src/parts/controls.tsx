/** Buttons, segments, switches, menus: plain elements or Base UI underneath, tokens on top. */
import { Switch as BaseSwitch } from '@base-ui/react/switch';
import type { ComponentProps, ReactNode } from 'react';
import { useState } from 'react';

const BUTTONS = {
  primary: 'bg-ink text-ground border-ink hover:bg-ink-2 hover:border-ink-2',
  plain: 'border-edge text-ink hover:border-ink',
  quiet: 'border-transparent text-ink-2 hover:text-ink hover:underline decoration-thread underline-offset-4',
  fail: 'border-fail text-fail hover:bg-fail-wash',
  solid: 'bg-fail border-fail text-ground',
};

type ButtonProps = ComponentProps<'button'> & { look?: keyof typeof BUTTONS; small?: boolean; busy?: string | false };

/** A button; `busy` is its verb in progress, shown in its place. */
export function Button({ look = 'plain', small, busy, className = '', children, ...rest }: ButtonProps) {
  const size = small ? 'h-[26px] px-2.5 pointer-coarse:h-[36px]' : 'h-[32px] px-3.5 pointer-coarse:h-[44px]';
  return (
    <button
      type="button"
      {...rest}
      disabled={rest.disabled || !!busy}
      className={`inline-grid place-items-center rounded-6 border text-13 font-600 whitespace-nowrap transition-colors ${size} ${BUTTONS[look]} disabled:cursor-default disabled:border-line disabled:bg-sunken disabled:text-ink-3 disabled:no-underline ${className}`}
    >
      {busy || children}
    </button>
  );
}

/** A link in running text. */
export const LINK =
  'underline decoration-thread decoration-1 underline-offset-[3px] hover:decoration-ink hover:decoration-2';

type SegmentProps<T extends string> = {
  name: string;
  value: T;
  options: readonly { value: T; label: string; off?: boolean }[];
  onChange: (value: T) => void;
};

/** One of few, all in sight: a group of radio buttons. */
export function Segment<T extends string>({ name, value, options, onChange }: SegmentProps<T>) {
  return (
    <fieldset className="inline-flex rounded-6 border border-line bg-sunken p-[2px]">
      <legend className="sr-only">{name}</legend>
      {options.map((option) => (
        <label
          key={option.value}
          className="relative grid h-[26px] cursor-pointer place-items-center rounded-4 border border-transparent px-3 text-13 whitespace-nowrap text-ink-2 has-checked:border-line has-checked:bg-raised has-checked:font-600 has-checked:text-ink has-disabled:cursor-default has-disabled:text-ink-3 has-focus-visible:outline-2 has-focus-visible:outline-offset-2 has-focus-visible:outline-live pointer-coarse:h-[40px]"
        >
          <input
            type="radio"
            className="absolute inset-0 cursor-pointer opacity-0"
            name={name}
            checked={value === option.value}
            disabled={option.off}
            onChange={() => onChange(option.value)}
          />
          {option.label}
        </label>
      ))}
    </fieldset>
  );
}

type SwitchProps = { checked: boolean; onChange: (on: boolean) => void; label: string; disabled?: boolean };

/** On or off, at once. On is ink: blue means live. */
export function Switch({ checked, onChange, label, disabled }: SwitchProps) {
  return (
    <BaseSwitch.Root
      checked={checked}
      onCheckedChange={onChange}
      disabled={disabled}
      aria-label={label}
      className="relative h-[24px] w-[40px] shrink-0 cursor-pointer rounded-full border border-edge bg-sunken transition-colors data-checked:border-ink data-checked:bg-ink data-disabled:opacity-50"
    >
      <BaseSwitch.Thumb className="absolute top-[3px] left-[3px] size-[16px] rounded-full bg-ink-2 transition-transform data-checked:translate-x-[16px] data-checked:bg-ground" />
    </BaseSwitch.Root>
  );
}

/** One of several: the system's own list, which every phone and screen reader knows. */
export function Pick<T extends string>({ name, value, options, onChange, bare }: SegmentProps<T> & { bare?: boolean }) {
  const look = bare ? 'border-transparent bg-transparent' : 'border-line bg-transparent hover:border-edge';
  return (
    <select
      aria-label={name}
      value={value}
      onChange={(event) => onChange(event.target.value as T)}
      className={`field-sizing-content h-[28px] max-w-full cursor-pointer rounded-6 border px-2 text-13 text-ink-2 hover:text-ink pointer-coarse:h-[40px] ${look}`}
    >
      {options.map((option) => (
        <option key={option.value} value={option.value} disabled={option.off} className="bg-raised text-ink">
          {option.label}
        </option>
      ))}
    </select>
  );
}

/** Puts a text on the clipboard and says so in its place. */
export function Copy({ text, label = 'Copy' }: { text: string; label?: string }) {
  const [done, setDone] = useState(false);
  async function copy() {
    await navigator.clipboard.writeText(text);
    setDone(true);
    setTimeout(() => setDone(false), 2000);
  }
  return (
    <button type="button" className={`text-13 text-ink ${LINK}`} onClick={copy}>
      <span aria-live="polite">{done ? 'Copied' : label}</span>
    </button>
  );
}

/** A command to type elsewhere, with Copy. It wraps: what is not seen cannot be trusted. */
export function Command({ text }: { text: string }) {
  return (
    <div className="flex items-start gap-3 rounded-8 bg-sunken px-3 py-2.5">
      <code className="min-w-0 flex-1 text-13 break-all">{text}</code>
      <Copy text={text} />
    </div>
  );
}

/** A label with the field below it. */
export function Field({ label, hint, children }: { label: string; hint?: ReactNode; children: ReactNode }) {
  return (
    <label className="block">
      <span className="mb-1 block text-13 font-600">{label}</span>
      {children}
      {hint && <span className="mt-1 block text-12 text-ink-3">{hint}</span>}
    </label>
  );
}

export const INPUT =
  'h-[32px] w-full rounded-6 border border-edge bg-raised px-2.5 text-14 text-ink placeholder:text-ink-3 pointer-coarse:h-[44px]';

type FailureProps = { title?: string; message: string; code?: string; children?: ReactNode };

/** Something failed: what, and what next, with a code to copy. Only its own part of the page is replaced. */
export function Failure({ title, message, code, children }: FailureProps) {
  return (
    <div role="alert" className="max-w-[62em] border-l-2 border-fail bg-fail-wash px-4 py-3 text-14 text-ink">
      {title && <p className="font-600">{title}</p>}
      <p>{message}</p>
      {code && <code className="mt-1 block text-12 text-ink-2 select-all">{code}</code>}
      {children && <div className="mt-3 flex flex-wrap gap-2">{children}</div>}
    </div>
  );
}
