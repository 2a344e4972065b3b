/** Finding by name: what fits what was typed, best first. A pure function. */

export type Thing = { kind: 'page' | 'device' | 'person' | 'job'; id: string; name: string; more: string };

const FOLD = /\p{M}/gu;
/** Without case and accents, so that `zoe` finds Zoë. */
export function folded(text: string): string {
  return text.normalize('NFKD').replace(FOLD, '').toLowerCase();
}

/** How well a thing fits: lower is better, null not at all. Every word typed must begin or stand in a word of it. */
export function fit(thing: Thing, typed: string[]): number | null {
  const name = folded(thing.name);
  const all = `${name} ${folded(thing.more)} ${folded(thing.id)}`;
  let cost = 0;
  for (const word of typed) {
    if (name === word) cost += 0;
    else if (name.startsWith(word)) cost += 1;
    else if (name.split(/[\s\-_.]+/u).some((part) => part.startsWith(word))) cost += 2;
    else if (name.includes(word)) cost += 3;
    else if (all.includes(word)) cost += 5;
    else return null;
  }
  return cost;
}

export function found(things: Thing[], typed: string, most = 12): Thing[] {
  const words = folded(typed).split(/\s+/u).filter(Boolean);
  return things
    .map((thing, at) => ({ thing, at, cost: fit(thing, words) }))
    .filter((one): one is { thing: Thing; at: number; cost: number } => one.cost !== null)
    .sort((a, b) => a.cost - b.cost || a.at - b.at)
    .slice(0, most)
    .map((one) => one.thing);
}
