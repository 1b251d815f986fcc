import { type Mark, parseMarkdown, type Rich } from "../markdown";
import { splitRich } from "../split";

/** Markdown as Slack's own markup (chat-platforms §1.4). Pure. */

const entities = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

/** A person or a channel may be named; what calls a whole channel (`<!here>`) shows as typed. */
const NAMED = /(<[@#][A-Z0-9]{6,20}(?:\|[^<>\n]{0,80})?>)/;
const shown = (text: string): string =>
  text
    .split(NAMED)
    .map((piece, i) => (i % 2 === 1 ? piece : entities(piece)))
    .join("");

const SIGN: Partial<Record<Mark["kind"], string>> = { bold: "*", italic: "_", strike: "~" };

/** Slack's emphasis does not cross a line, and hugs its words. */
const emphasise = (text: string, sign: string): string =>
  text
    .split("\n")
    .map((line) => {
      const m = /^(\s*)([\s\S]*?)(\s*)$/.exec(line)!;
      return m[2] === "" ? line : `${m[1]}${sign}${m[2]}${sign}${m[3]}`;
    })
    .join("\n");

function wrap(mark: Mark, inner: string, raw: string): string {
  if (mark.kind === "pre") return `\`\`\`\n${entities(raw)}\n\`\`\``;
  if (mark.kind === "code") return `\`${entities(raw.replaceAll("`", "'"))}\``;
  if (mark.kind === "quote")
    return inner
      .split("\n")
      .map((line) => `> ${line}`)
      .join("\n");
  if (mark.kind === "link") {
    const url = entities((mark.url ?? "").replaceAll("|", "%7C"));
    const label = inner.replace(/[\n|]/g, " ").replace(/[<>]/g, "");
    return raw === mark.url || label.trim() === "" ? `<${url}>` : `<${url}|${label}>`;
  }
  return emphasise(inner, SIGN[mark.kind]!);
}

function range(text: string, marks: readonly Mark[], from: number, to: number, signs: string): string {
  let out = "";
  let at = from;
  for (let i = 0; i < marks.length; i++) {
    const mark = marks[i]!;
    if (mark.start < at) continue;
    out += shown(text.slice(at, mark.start));
    const raw = text.slice(mark.start, mark.end);
    const inside = marks.filter((m, j) => j > i && m.start >= mark.start && m.end <= mark.end);
    const sign = SIGN[mark.kind];
    const verbatim = mark.kind === "pre" || mark.kind === "code";
    const inner = verbatim ? "" : range(text, inside, mark.start, mark.end, signs + (sign ?? ""));
    // `***x***` is bold within bold to nobody.
    out += sign !== undefined && signs.includes(sign) ? inner : wrap(mark, inner, raw);
    at = mark.end;
  }
  return out + shown(text.slice(at, to));
}

/** A rich text in Slack's markup. */
export function renderMrkdwn({ text, marks }: Rich): string {
  const sorted = [...marks].sort((a, b) => a.start - b.start || b.end - a.end);
  return range(text, sorted, 0, text.length, "");
}

/** Messages of at most `limit` characters as Slack counts them. */
export const toMrkdwn = (markdown: string, limit: number): string[] =>
  splitRich(parseMarkdown(markdown), limit, (part) => renderMrkdwn(part).length).map(renderMrkdwn);
