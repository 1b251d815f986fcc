import { type Mark, parseMarkdown, type Rich, trim } from "../markdown";
import { splitRich } from "../split";

/** Markdown as Telegram's text and entities: offsets are UTF-16 units, and nothing has to be escaped (chat-platforms §3.4). Pure. */

export interface Entity {
  type: string;
  offset: number;
  length: number;
  url?: string;
  language?: string;
}

const TYPE: Record<Mark["kind"], string> = {
  bold: "bold",
  italic: "italic",
  strike: "strikethrough",
  code: "code",
  pre: "pre",
  link: "text_link",
  quote: "blockquote",
};

/** More are ignored by the server. */
const MAX_ENTITIES = 100;

/** Code can't be part of another entity but a quote: what lies over it is cut around it. */
function around(mark: Mark, codes: readonly Mark[]): Mark[] {
  if (mark.kind === "code" || mark.kind === "pre" || mark.kind === "quote") return [mark];
  let pieces = [mark];
  for (const c of codes)
    pieces = pieces.flatMap((p) =>
      c.end <= p.start || c.start >= p.end
        ? [p]
        : [
            { ...p, end: Math.max(p.start, c.start) },
            { ...p, start: Math.min(p.end, c.end) },
          ].filter((x) => x.start < x.end),
    );
  return pieces;
}

export function toEntities({ text, marks }: Rich): { text: string; entities: Entity[] } {
  const codes = marks.filter((m) => m.kind === "code" || m.kind === "pre");
  const entities = marks
    .flatMap((m) => around(m, codes))
    .sort((a, b) => a.start - b.start || b.end - a.end)
    .slice(0, MAX_ENTITIES)
    .map((m) => ({
      type: TYPE[m.kind],
      offset: m.start,
      length: m.end - m.start,
      ...(m.kind === "link" && m.url ? { url: m.url } : {}),
      ...(m.kind === "pre" && m.language ? { language: m.language } : {}),
    }));
  return { text, entities };
}

/** Messages of at most `limit` UTF-16 units. */
export const toTelegram = (markdown: string, limit: number): { text: string; entities: Entity[] }[] =>
  splitRich(parseMarkdown(markdown), limit, (part) => part.text.length)
    // The server trims, which would move the offsets.
    .map((part) => toEntities(trim(part)))
    .filter((part) => part.text !== "");
