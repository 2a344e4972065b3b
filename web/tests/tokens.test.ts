/** Every colour can be read on what it stands on: ratios are worked out from tokens.css itself. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';

type Theme = Record<string, string>;

const css = readFileSync(new URL('../src/tokens.css', import.meta.url), 'utf8');

function theme(selector: string): Theme {
  const body = css.slice(css.indexOf(`${selector} {`)).split('}')[0] ?? '';
  return Object.fromEntries([...body.matchAll(/--([\w-]+):\s*(oklch\([^)]*\));/g)].map((found) => [found[1], found[2]]));
}

const light = theme(':root');
const themes: [string, Theme][] = [
  ['light', light],
  ['dark', { ...light, ...theme("[data-theme='dark']") }],
];

/** OKLCH to linear sRGB (by the definition of the OKLab space). */
function linear(colour: string): [number, number, number] {
  const [lightness = 0, chroma = 0, hue = 0] = (colour.match(/[\d.]+/g) ?? []).map(Number);
  const a = chroma * Math.cos((hue * Math.PI) / 180);
  const b = chroma * Math.sin((hue * Math.PI) / 180);
  const l = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const m = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const s = (lightness - 0.0894841775 * a - 1.291485548 * b) ** 3;
  return [
    4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s,
    -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s,
    -0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s,
  ];
}

function luminance(colour: string): number {
  const [red, green, blue] = linear(colour).map((part) => Math.min(1, Math.max(0, part))) as [number, number, number];
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

function ratio(one: string, other: string): number {
  const [dark = 0, bright = 0] = [luminance(one), luminance(other)].sort((x, y) => x - y);
  return (bright + 0.05) / (dark + 0.05);
}

const text: [string, string][] = [
  ...['ink', 'ink-2', 'ink-3'].flatMap((ink): [string, string][] => ['ground', 'raised', 'sunken'].map((on) => [ink, on])),
  ...['live', 'warn', 'fail', 'relay'].flatMap((dye): [string, string][] => [[dye, 'ground'], [dye, 'raised'], [dye, `${dye}-wash`]]),
  ...['live', 'warn', 'fail', 'relay'].map((dye): [string, string] => ['ink', `${dye}-wash`]),
  ['live-on', 'live-fill'],
  ['ink', 'done'],
  ['ground', 'ink'],
  ['ground', 'fail'],
];
const graphics: [string, string][] = [
  ['edge', 'ground'],
  ['edge', 'raised'],
  ['thread', 'ground'],
  ['live-fill', 'ground'],
];

describe.each(themes)('%s', (_name, tokens) => {
  test.each(text)('%s on %s can be read (4.5)', (ink, on) => {
    expect(ratio(tokens[ink]!, tokens[on]!)).toBeGreaterThanOrEqual(4.5);
  });
  test.each(graphics)('%s on %s can be seen (3)', (mark, on) => {
    expect(ratio(tokens[mark]!, tokens[on]!)).toBeGreaterThanOrEqual(3);
  });
  test('all colours lie inside sRGB', () => {
    for (const [name, colour] of Object.entries(tokens)) {
      for (const part of linear(colour)) {
        expect(part, name).toBeGreaterThan(-0.0015);
        expect(part, name).toBeLessThan(1.0015);
      }
    }
  });
});

test('the ratios are worked out right: black on white is 21', () => {
  expect(ratio('oklch(0 0 0)', 'oklch(1 0 0)')).toBeCloseTo(21, 1);
});
