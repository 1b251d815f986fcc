/**
 * What strangers wrote (vendor errors, target names, Sentry titles) made harmless for any channel: control characters,
 * direction marks and invisible characters go, white space becomes one space. Markup is each channel's own matter.
 */
export function plain(text: string): string {
  return text
    .toWellFormed()
    .replace(/[\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff\u{e0000}-\u{e007f}]/gu, "")
    .replace(/[\u0000-\u0020\u007f-\u00a0\u2028\u2029]+/g, " ")
    .trim();
}

/** `plain`, with the line breaks kept (at most one in a row). */
export const plainLines = (text: string): string =>
  text
    .split(/\r\n|\r|\n/)
    .map(plain)
    .filter((line) => line !== "")
    .join("\n");

/** Cuts at a word so that the result, with `tail`, is at most `max` UTF-16 units. A text that fits stays as it is. */
export function clipWords(text: string, max: number, tail = "…"): string {
  if (text.length <= max) return text;
  const room = Math.max(0, max - tail.length);
  let cut = text.slice(0, room + 1);
  const gap = Math.max(cut.lastIndexOf(" "), cut.lastIndexOf("\n"));
  // A single word longer than half the room is cut inside: an almost empty notice says less.
  cut = gap > room / 2 ? cut.slice(0, gap) : text.slice(0, room);
  return `${cut
    .toWellFormed()
    .replace(/\ufffd$/, "")
    .replace(/[\s,.;:–-]+$/, "")}${tail}`;
}
