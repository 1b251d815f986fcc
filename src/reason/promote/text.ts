import { normalise } from "../agent/intents";

/**
 * Likeness of short texts without a model: cosine over token counts (`kora-watch.md` §4.4, "lexical embedding"). Everything
 * here gives the same answer for the same texts in any order.
 */

const STOP = new Set(
  "a an and are as at be been by can could did do does for from had has have how i in is it its me my of on or our please that the their there these this to was we were what when where which who why will with would you your".split(
    " ",
  ),
);

/** Words of a text in their order, cut as the agent cuts a question, so that what is proposed is what will match. */
export const tokens = (text: string): string[] => normalise(text).split(" ").filter(Boolean);

/** The words that carry a text's meaning, each once. */
const contentTokens = (text: string): string[] => [
  ...new Set(tokens(text).filter((t) => t.length >= 2 && !STOP.has(t))),
];

export interface Vector {
  counts: ReadonlyMap<string, number>;
  norm: number;
}

export function vectorOf(text: string): Vector {
  const counts = new Map<string, number>();
  for (const t of tokens(text)) counts.set(t, (counts.get(t) ?? 0) + 1);
  let sum = 0;
  for (const n of counts.values()) sum += n * n;
  return { counts, norm: Math.sqrt(sum) };
}

/** Cosine of two texts, 0 to 1. A text without words is like nothing, not even itself. */
export function cosine(a: Vector, b: Vector): number {
  if (a.norm === 0 || b.norm === 0) return 0;
  const [small, large] = a.counts.size <= b.counts.size ? [a, b] : [b, a];
  let dot = 0;
  for (const [token, n] of small.counts) dot += n * (large.counts.get(token) ?? 0);
  return Math.min(1, dot / (a.norm * b.norm));
}

/**
 * Groups texts around a centre: the text with the most others at least `threshold` alike takes them, and so on with the rest.
 * Every member is that like its centre (a chain of small steps never makes a group), and ties are broken by the text itself,
 * so the order of the input does not matter. Indexes into `texts`; largest group first.
 */
export function clusters(texts: readonly string[], threshold: number): number[][] {
  const vectors = texts.map(vectorOf);
  const near: number[][] = texts.map((_, i) => [i]);
  for (let i = 0; i < texts.length; i++)
    for (let j = i + 1; j < texts.length; j++)
      if (cosine(vectors[i]!, vectors[j]!) >= threshold) {
        near[i]!.push(j);
        near[j]!.push(i);
      }
  const left = new Set(texts.keys());
  const out: number[][] = [];
  while (left.size > 0) {
    let best: number[] = [];
    let centre = -1;
    for (const i of left) {
      const members = near[i]!.filter((j) => left.has(j));
      const better = members.length - best.length || (centre < 0 ? 1 : compare(texts[centre]!, texts[i]!));
      if (better > 0) [best, centre] = [members, i];
    }
    out.push(best.sort((a, b) => a - b));
    for (const i of best) left.delete(i);
  }
  return out;
}

/** Plain order of code units: the same in every place and locale. */
export const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/** Share of a group's texts a word must stand in before it may stand for the group. */
const COMMON = 0.75;

/** The three commonest words of a group of texts, none of them in fewer than three quarters of it. Alphabetical. */
export function commonTokens(texts: readonly string[]): string[] {
  const seen = new Map<string, number>();
  for (const text of texts) for (const t of contentTokens(text)) seen.set(t, (seen.get(t) ?? 0) + 1);
  return [...seen]
    .filter(([, n]) => n >= COMMON * texts.length)
    .sort((a, b) => b[1] - a[1] || compare(a[0], b[0]))
    .slice(0, 3)
    .map(([t]) => t)
    .sort(compare);
}

/** A hyphen stays: outside a class it means nothing, and with the flag `u` its escape is an error. */
const literal = (token: string): string => token.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&");

/**
 * A pattern that wants every word, in any order; flags `iu`. One word alone would match half of all questions, so it must then
 * be the whole text. Look-aheads over a fixed word: linear in the text.
 */
export function patternOf(words: readonly string[]): string {
  if (words.length === 1) return `^[^\\p{L}\\p{N}]*${literal(words[0]!)}[^\\p{L}\\p{N}]*$`;
  return `^${words.map((w) => `(?=[\\s\\S]*(?<![\\p{L}\\p{N}])${literal(w)}(?![\\p{L}\\p{N}]))`).join("")}`;
}

/** The text that most of a group use word for word (spaces aside); ties by the text. */
export function dominant(texts: readonly string[]): string {
  const seen = new Map<string, number>();
  for (const text of texts) {
    const plain = text.replace(/\s+/g, " ").trim();
    if (plain !== "") seen.set(plain, (seen.get(plain) ?? 0) + 1);
  }
  return [...seen].sort((a, b) => b[1] - a[1] || compare(a[0], b[0]))[0]?.[0] ?? "";
}
