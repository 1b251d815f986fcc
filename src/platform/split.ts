import { type Rich, sliceRich } from "./markdown";

/** Long texts as several messages: cut at a paragraph, a line, a word, else between two characters (chat-platforms §0). Pure. */

/** More messages than this from one op is no answer in a chat any more. */
export const MAX_PARTS = 20;

const JOINS = /^(?:\p{M}|\u200D)/u;

/** The most UTF-16 units from `at` on that are whole characters, at most `max`, at least one character. */
function whole(text: string, at: number, max: number): number {
  let end = Math.min(text.length, at + max);
  if (end === text.length) return end;
  // Nothing that joins to what stands before it begins a part: the second half of a pair, an accent, a skin tone, a joiner.
  for (let back = 0; back < 16 && end > at + 1; back++) {
    const joins = JOINS.test(text[end]!) || text[end - 1] === "\u200D";
    const tone = /^\uD83C[\uDFFB-\uDFFF]/.test(text.slice(end, end + 2));
    if (!joins && !tone && !lowSurrogate(text, end)) return end;
    end--;
  }
  const hard = Math.min(text.length, at + max);
  return lowSurrogate(text, hard) ? (hard - 1 > at ? hard - 1 : hard + 1) : hard;
}

const lowSurrogate = (text: string, at: number): boolean => {
  const c = text.charCodeAt(at);
  return c >= 0xdc00 && c <= 0xdfff;
};

/** Where to cut `text` that begins at `from` so that no more than `max` units are before the cut. */
export function cutAt(text: string, from: number, max: number): number {
  const end = whole(text, from, max);
  if (end >= text.length) return text.length;
  // A break in the first half would make many small parts.
  const least = from + Math.floor(max / 2);
  for (const mark of ["\n\n", "\n", " "]) {
    const at = text.lastIndexOf(mark, end - (mark === " " ? 0 : 1));
    if (at > (mark === " " ? from : least)) return at;
  }
  return end;
}

/**
 * Parts of a rich text, each of which `size` says is at most `limit`. Marks that a cut goes through are on both sides of it. White
 * space at a cut goes, but never inside a code block.
 */
export function splitRich(rich: Rich, limit: number, size: (part: Rich) => number): Rich[] {
  const parts: Rich[] = [];
  let from = 0;
  while (from < rich.text.length) {
    let max = limit;
    let end = cutAt(rich.text, from, max);
    // Rendered, a part may be longer than its text.
    while (size(sliceRich(rich, from, end)) > limit && max > 1) {
      max = Math.max(1, Math.floor(max * 0.8));
      end = cutAt(rich.text, from, max);
    }
    const part = sliceRich(rich, from, end);
    if (part.text.trim() !== "") parts.push(part);
    from = end;
    const inCode = rich.marks.some((m) => m.kind === "pre" && m.start < from && from < m.end);
    if (inCode && rich.text[from] === "\n") from++;
    while (!inCode && from < rich.text.length && /\s/.test(rich.text[from]!)) from++;
  }
  return parts;
}

/** Tildes fence nothing on the platforms that read Markdown themselves. */
const OPEN = /^ {0,3}(`{3,})[^`\n]*$/;

/** The fence that is open at the end of a text, as its opening line; null: none. */
export function openFence(text: string): string | null {
  let open: { mark: string; line: string } | null = null;
  for (const line of text.split("\n")) {
    const m = OPEN.exec(line);
    if (!m) continue;
    if (open === null) open = { mark: m[1]!, line: line.trim() };
    else if (line.trim().startsWith(open.mark) && /^`+$/.test(line.trim())) open = null;
  }
  return open?.line ?? null;
}

/**
 * Parts of raw Markdown of at most `limit` UTF-16 units, for platforms that read it themselves. A code fence that a cut goes
 * through is closed before and opened again after it.
 */
export function splitMarkdown(text: string, limit: number): string[] {
  const parts: string[] = [];
  let rest = text.trim();
  let carry = "";
  while (carry.length + rest.length > limit || (carry !== "" && rest.trim() !== "")) {
    // Room for the fence that may have to be closed; a fence line of its own length can't eat a part.
    const head = carry.length > limit / 4 ? "```\n" : carry;
    const room = limit - head.length - 16;
    if (head.length + rest.length <= limit) {
      parts.push(head + rest);
      return parts;
    }
    const end = cutAt(rest, 0, Math.max(1, room));
    const piece = head + rest.slice(0, end);
    const fence = openFence(piece);
    const close = fence === null ? "" : `\n${/^`{3,}/.exec(fence)![0].slice(0, 12)}`;
    if (piece.trim() !== "") parts.push(fence === null ? piece.trimEnd() : piece + close);
    rest = rest.slice(end);
    rest = fence === null ? rest.trimStart() : rest.replace(/^\n/, "");
    carry = fence === null ? "" : `${fence}\n`;
  }
  if (rest.trim() !== "") parts.push(rest);
  return parts;
}

/** Parts of plain text of at most `limit` UTF-16 units. */
export const splitPlain = (text: string, limit: number): string[] =>
  splitRich({ text: text.trim(), marks: [] }, limit, (p) => p.text.length).map((p) => p.text.trim());
