import { clipWords, plain } from "../notify";

/**
 * What strangers wrote, made safe to show to a model and to repeat: one line, no markup, no link, no invisible character, cut.
 * Sentry titles are attacker-writable (`kora-watch.md` §6); a text of 1 MiB costs no more than a short one.
 */
export function strange(text: string, max: number): string {
  // Cut before the patterns run: their work must not grow with what a stranger sends.
  const line = plain(text.slice(0, max * 4));
  return clipWords(withoutLinks(withoutMarkup(line)), max);
}

const withoutMarkup = (text: string): string =>
  text
    // Slack's and HTML's angle brackets, Markdown links, code marks.
    .replace(/<(?:[^<>|]{0,200}\|)?([^<>]{0,200})>/g, "$1")
    .replace(/\[([^\][]{0,200})\]\([^)]{0,300}\)/g, "$1")
    .replace(/[<>`]/g, "'");

/** Links and look-alikes of links go; the words stay. A model may not move an operator to another address. */
export const withoutLinks = (text: string): string =>
  text
    .replace(/\b[a-z][a-z0-9+.-]{1,20}:\/\/\S*/gi, "(link removed)")
    .replace(/\b(?:mailto|javascript|data|tel):\S+/gi, "(link removed)")
    .replace(/\bwww\.\S+/gi, "(link removed)")
    // A host in letters of any script with a path, a query or a fragment; a bare name, or one with a port, is a word.
    .replace(
      /(?<![\p{L}\p{N}])(?:[\p{L}\p{N}-]{1,63}\.){1,10}(?:\p{L}{2,63}|xn--[a-z0-9-]{1,59})(?::\d{1,5})?(?:\/|[?#](?=[\p{L}\p{N}=&_%]))\S*/giu,
      "(link removed)",
    )
    .replace(/(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?::\d{1,5})?[/?#](?=[\p{L}?#=])\S*/gu, "(link removed)");

/** A mark that nobody outside this call can know, so that no stranger's text can end the block it stands in. */
export function makeFence(): string {
  const raw = crypto.getRandomValues(new Uint8Array(9));
  return Array.from(raw, (b) => b.toString(16).padStart(2, "0")).join("");
}

/** Lines as data: what stands between the two marks is never an instruction. */
export const fenced = (mark: string, lines: readonly string[]): string =>
  [`UNTRUSTED ${mark} BEGIN`, ...lines.map((l) => l.replaceAll(mark, "")), `UNTRUSTED ${mark} END`].join("\n");
