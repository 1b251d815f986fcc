/**
 * A gateway's Markdown as plain text with marks over it: what Telegram takes as entities and Slack as its own markup, and what can be
 * cut anywhere without breaking a mark. Pure; time grows with the text, whatever it holds.
 */

export type MarkKind = "bold" | "italic" | "strike" | "code" | "pre" | "link" | "quote";

/** `start` and `end` are UTF-16 units of the text, end excluded. */
export interface Mark {
  kind: MarkKind;
  start: number;
  end: number;
  url?: string;
  /** Of a `pre`: what stood behind the fence. */
  language?: string;
}

export interface Rich {
  text: string;
  marks: Mark[];
}

/** Emphasis deeper than this stays as typed. */
const MAX_DEPTH = 6;
const FENCE = /^ {0,3}(`{3,}|~{3,})[ \t]*([A-Za-z0-9_+#.-]{0,40})[ \t]*$/;
const TABLE_RULE = /^[ \t]*\|?[ \t]*:?-+:?[ \t]*(\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*$/;
const LINK_SCHEME = /^(https?:\/\/|mailto:|tel:)/i;
const ESCAPABLE = /[\\`*_{}[\]()#+\-.!~>|]/;
const WORD = /[\p{L}\p{N}_]/u;

class Builder {
  text = "";
  readonly marks: Mark[] = [];

  mark(kind: MarkKind, start: number, more: Pick<Mark, "url" | "language"> = {}): void {
    if (this.text.length > start) this.marks.push({ kind, start, end: this.text.length, ...more });
  }

  inline(source: string, depth = 0): void {
    new Inline(this, source, depth).run();
  }
}

/** One run of inline text. What was looked for once and is not there is not looked for again. */
class Inline {
  #at = 0;
  readonly #missing = new Set<string>();

  constructor(
    readonly out: Builder,
    readonly source: string,
    readonly depth: number,
  ) {}

  run(): void {
    while (this.#at < this.source.length) if (!this.#span()) this.out.text += this.source[this.#at++];
  }

  #find(what: string, from: number): number {
    if (this.#missing.has(what)) return -1;
    const found = this.source.indexOf(what, from);
    if (found < 0) this.#missing.add(what);
    return found;
  }

  /** Takes one span at the present place; false: this character is a character. */
  #span(): boolean {
    const c = this.source[this.#at]!;
    if (c === "\\") return this.#escape();
    if (c === "`") return this.#code();
    if (c === "[" || (c === "!" && this.source[this.#at + 1] === "[")) return this.#link(c === "!");
    if (c === "<") return this.#autolink();
    if (c === "*" || c === "_") return this.#emphasis(c + c, "bold") || this.#emphasis(c, "italic");
    return c === "~" && this.#emphasis("~~", "strike");
  }

  #escape(): boolean {
    const next = this.source[this.#at + 1];
    if (next === undefined || !ESCAPABLE.test(next)) return false;
    this.out.text += next;
    this.#at += 2;
    return true;
  }

  #code(): boolean {
    const ticks = /^`+/.exec(this.source.slice(this.#at, this.#at + 16))![0];
    const from = this.#at + ticks.length;
    const end = this.#find(ticks, from);
    if (end <= from) {
      this.out.text += ticks;
      this.#at = from;
      return true;
    }
    const start = this.out.text.length;
    const inner = this.source.slice(from, end);
    this.out.text += /^ .*[^ ].* $/s.test(inner) ? inner.slice(1, -1) : inner;
    this.out.mark("code", start);
    this.#at = end + ticks.length;
    return true;
  }

  #link(image: boolean): boolean {
    const open = this.#at + (image ? 2 : 1);
    const middle = this.#find("](", open);
    if (middle < 0 || middle - open > 1_000 || this.source.slice(open, middle).includes("\n\n")) return false;
    // An inner "[" starts a nearer link.
    if (this.source.slice(open, middle).includes("[")) return false;
    const end = this.#find(")", middle);
    if (end < 0 || end - middle > 4_000) return false;
    // One pair of brackets inside a URL belongs to it.
    const close = this.source.slice(middle + 2, end).includes("(") && this.source[end + 1] === ")" ? end + 1 : end;
    const url = this.source
      .slice(middle + 2, close)
      .trim()
      .replace(/\s+["'(].*$/s, "")
      .replace(/^<|>$/g, "");
    if (!LINK_SCHEME.test(url) || /\s/.test(url)) return false;
    const start = this.out.text.length;
    const label = this.source.slice(open, middle);
    if (label === "" || this.depth >= MAX_DEPTH) this.out.text += label || url;
    else this.out.inline(label, this.depth + 1);
    this.out.mark("link", start, { url });
    this.#at = close + 1;
    return true;
  }

  #autolink(): boolean {
    const m = /^<((?:https?:\/\/|mailto:)[^\s<>]{1,2000})>/i.exec(this.source.slice(this.#at, this.#at + 2_010));
    if (!m) return false;
    const start = this.out.text.length;
    this.out.text += m[1]!;
    this.out.mark("link", start, { url: m[1]! });
    this.#at += m[0].length;
    return true;
  }

  #emphasis(delimiter: string, kind: MarkKind): boolean {
    const { source } = this;
    if (this.depth >= MAX_DEPTH || !source.startsWith(delimiter, this.#at)) return false;
    const from = this.#at + delimiter.length;
    const before = source[this.#at - 1] ?? " ";
    // `snake_case` and `2 * 3` are no emphasis.
    if (/\s/.test(source[from] ?? " ") || (delimiter[0] === "_" && WORD.test(before))) return false;
    if (delimiter.length === 1 && source[from] === delimiter) return false;
    const end = this.#closer(delimiter, from);
    if (end <= from) return false;
    const start = this.out.text.length;
    this.out.inline(source.slice(from, end), this.depth + 1);
    this.out.mark(kind, start);
    this.#at = end + delimiter.length;
    return true;
  }

  #closer(delimiter: string, from: number): number {
    let end = this.#find(delimiter, from);
    // A few steps: text with thousands of openers must not cost their square.
    for (let tries = 0; end >= 0 && tries < 20; tries++) {
      const c = this.source[end + delimiter.length] ?? " ";
      const single = delimiter.length === 1 && (c === delimiter || this.source[end - 1] === delimiter);
      const inWord = delimiter[0] === "_" && WORD.test(c);
      if (!/\s/.test(this.source[end - 1] ?? " ") && !inWord && !single) {
        // The last of a longer run closes: `**a *b***`.
        while (delimiter.length === 2 && this.source[end + 2] === delimiter[0]) end++;
        return this.source.slice(from, end).includes("\n\n") ? -1 : end;
      }
      end = this.source.indexOf(delimiter, end + (single && c === delimiter ? 2 : 1));
    }
    return -1;
  }
}

/** Lines of Markdown to text and marks. */
export function parseMarkdown(source: string): Rich {
  const out = new Builder();
  const lines = source.replace(/\r\n?/g, "\n").split("\n");
  let para: string[] = [];
  let first = true;
  const newline = (): void => {
    if (!first) out.text += "\n";
    first = false;
  };
  const flush = (): void => {
    if (para.length === 0) return;
    newline();
    out.inline(para.join("\n"));
    para = [];
  };
  for (let i = 0; i < lines.length; i++) {
    const line = lines[i]!;
    const fence = FENCE.exec(line);
    const table =
      !fence && line.includes("|") && TABLE_RULE.test(lines[i + 1] ?? "") && (lines[i + 1] ?? "").includes("|");
    if (fence || table) {
      flush();
      const from = fence ? i + 1 : i;
      let end = from;
      if (fence) while (end < lines.length && !closes(lines[end]!, fence[1]!)) end++;
      else while (end < lines.length && lines[end]!.includes("|")) end++;
      newline();
      const start = out.text.length;
      out.text += lines.slice(from, end).join("\n");
      out.mark("pre", start, fence?.[2] ? { language: fence[2] } : {});
      i = fence ? end : end - 1;
      continue;
    }
    const heading = /^ {0,3}#{1,6}[ \t]+(.*?)[ \t]*#*$/.exec(line);
    if (heading || /^ {0,3}>/.test(line)) {
      flush();
      newline();
      const start = out.text.length;
      if (heading) {
        out.inline(heading[1]!.replace(/^\*\*(.*)\*\*$/, "$1"));
        out.mark("bold", start);
        continue;
      }
      const quoted: string[] = [];
      for (; i < lines.length && /^ {0,3}>/.test(lines[i]!); i++) quoted.push(lines[i]!.replace(/^ {0,3}> ?/, ""));
      i--;
      out.inline(quoted.join("\n"));
      out.mark("quote", start);
      continue;
    }
    para.push(line.replace(/^([ \t]*)[-*+][ \t]+(?=\S)/, "$1• "));
    // Emphasis ends with its paragraph.
    if (line.trim() === "") flush();
  }
  flush();
  return trim({ text: out.text, marks: out.marks });
}

const closes = (line: string, fence: string): boolean => {
  const text = line.trim();
  return text.length >= fence.length && text === fence[0]!.repeat(text.length);
};

/** Without white space around; marks outside of what is left go. */
export function trim(rich: Rich): Rich {
  const lead = rich.text.length - rich.text.trimStart().length;
  return sliceRich(rich, lead, Math.max(lead, rich.text.trimEnd().length));
}

/** A piece of a text with the marks that lie in it, cut to it. */
export function sliceRich({ text, marks }: Rich, from: number, to: number): Rich {
  return {
    text: text.slice(from, to),
    marks: marks.flatMap((m) => {
      const start = Math.max(m.start, from) - from;
      const end = Math.min(m.end, to) - from;
      return start < end ? [{ ...m, start, end }] : [];
    }),
  };
}
