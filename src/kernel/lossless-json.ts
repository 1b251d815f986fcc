/**
 * JSON read without losing what a signature covers: the text of each number, the order of keys, and where every value
 * stands in the source. `JSON.parse` keeps none of these and lets the last of two equal keys win silently.
 */

interface Span {
  /** Offsets in the source text, in UTF-16 units; `end` is exclusive. */
  start: number;
  end: number;
}
export interface JsonMember {
  key: string;
  value: JsonNode;
}
export interface JsonObject extends Span {
  kind: "object";
  members: JsonMember[];
}
export interface JsonArray extends Span {
  kind: "array";
  items: JsonNode[];
}
export interface JsonString extends Span {
  kind: "string";
  value: string;
}
export interface JsonNumber extends Span {
  kind: "number";
  lexeme: string;
}
export interface JsonConstant extends Span {
  kind: "constant";
  value: boolean | null;
}
export type JsonNode = JsonObject | JsonArray | JsonString | JsonNumber | JsonConstant;

export interface JsonLimits {
  /** UTF-8 bytes of the whole text. */
  maxBytes: number;
  /** Nesting of objects and arrays; the outermost is level 1. */
  maxDepth: number;
  /** Values in all: a megabyte of `[0,0,...]` would cost fifty megabytes of nodes. */
  maxNodes: number;
}

export const JSON_LIMITS: JsonLimits = { maxBytes: 1_048_576, maxDepth: 64, maxNodes: 100_000 };

export type JsonFault = "syntax" | "duplicate_key" | "too_large" | "too_deep" | "too_many_values";

/** Why a text was refused. The message quotes nothing of the text. */
export class JsonTextError extends Error {
  readonly fault: JsonFault;
  readonly at: number;

  constructor(fault: JsonFault, message: string, at: number) {
    super(message);
    this.name = "JsonTextError";
    this.fault = fault;
    this.at = at;
  }
}

const SPACE = /[ \t\n\r]*/y;
const PLAIN = /[^"\\\u0000-\u001f]*/y;
const ESCAPE = /\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})/y;
const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
const CONSTANTS: [string, boolean | null][] = [
  ["true", true],
  ["false", false],
  ["null", null],
];

/** Recursive descent; the depth limit keeps the stack small. */
class Reader {
  private at = 0;
  private depth = 0;
  private nodes = 0;

  constructor(
    private readonly text: string,
    private readonly limits: JsonLimits,
  ) {}

  document(): JsonNode {
    const root = this.value();
    this.space();
    if (this.at !== this.text.length) throw this.syntax();
    return root;
  }

  private value(): JsonNode {
    this.space();
    if (++this.nodes > this.limits.maxNodes)
      throw new JsonTextError("too_many_values", `more than ${this.limits.maxNodes} values`, this.at);
    const start = this.at;
    switch (this.text.charCodeAt(start)) {
      case 0x7b:
        return this.nested(() => this.object(start));
      case 0x5b:
        return this.nested(() => this.array(start));
      case 0x22:
        return { kind: "string", value: this.string(), start, end: this.at };
    }
    const lexeme = this.match(NUMBER);
    if (lexeme) return { kind: "number", lexeme, start, end: this.at };
    for (const [word, value] of CONSTANTS)
      if (this.text.startsWith(word, start)) {
        this.at = start + word.length;
        return { kind: "constant", value, start, end: this.at };
      }
    throw this.syntax();
  }

  private nested<T extends JsonNode>(read: () => T): T {
    if (++this.depth > this.limits.maxDepth)
      throw new JsonTextError("too_deep", `nested deeper than ${this.limits.maxDepth} levels`, this.at);
    this.at++;
    const node = read();
    this.depth--;
    return node;
  }

  private object(start: number): JsonObject {
    const members: JsonMember[] = [];
    const seen = new Set<string>();
    this.space();
    if (this.take("}")) return { kind: "object", members, start, end: this.at };
    for (;;) {
      this.space();
      const keyAt = this.at;
      const key = this.string();
      if (seen.has(key)) throw new JsonTextError("duplicate_key", `the same key twice at offset ${keyAt}`, keyAt);
      seen.add(key);
      this.space();
      if (!this.take(":")) throw this.syntax();
      members.push({ key, value: this.value() });
      this.space();
      if (this.take("}")) return { kind: "object", members, start, end: this.at };
      if (!this.take(",")) throw this.syntax();
    }
  }

  private array(start: number): JsonArray {
    const items: JsonNode[] = [];
    this.space();
    if (this.take("]")) return { kind: "array", items, start, end: this.at };
    for (;;) {
      items.push(this.value());
      this.space();
      if (this.take("]")) return { kind: "array", items, start, end: this.at };
      if (!this.take(",")) throw this.syntax();
    }
  }

  private string(): string {
    const start = this.at;
    if (!this.take('"')) throw this.syntax();
    let escaped = false;
    for (;;) {
      this.match(PLAIN);
      if (this.take('"')) break;
      if (!this.match(ESCAPE)) throw this.syntax();
      escaped = true;
    }
    if (!escaped) return this.text.slice(start + 1, this.at - 1);
    return JSON.parse(this.text.slice(start, this.at)) as string;
  }

  private take(char: string): boolean {
    if (this.text[this.at] !== char) return false;
    this.at++;
    return true;
  }

  private space(): void {
    this.match(SPACE);
  }

  private match(pattern: RegExp): string {
    pattern.lastIndex = this.at;
    const found = pattern.exec(this.text)?.[0] ?? "";
    this.at += found.length;
    return found;
  }

  private syntax(): JsonTextError {
    return new JsonTextError("syntax", `not JSON at offset ${this.at}`, this.at);
  }
}

/** Bytes of a text in UTF-8, without encoding it. A lone surrogate counts as the three bytes of its replacement. */
export function utf8Length(text: string): number {
  let bytes = text.length;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit < 0x80) continue;
    bytes += unit < 0x800 ? 1 : 2;
    if (unit >= 0xd800 && unit < 0xdc00 && (text.charCodeAt(i + 1) & 0xfc00) === 0xdc00) i++;
  }
  return bytes;
}

/** Reads one JSON text, or throws a JsonTextError. Strict JSON: no NaN, no byte-order mark, no key twice in one object. */
export function parseLossless(text: string, limits: JsonLimits = JSON_LIMITS): JsonNode {
  // Units never outnumber bytes and bytes are at most three a unit, so most texts need no count.
  if (text.length > limits.maxBytes || (text.length * 3 > limits.maxBytes && utf8Length(text) > limits.maxBytes))
    throw new JsonTextError("too_large", `more than ${limits.maxBytes} bytes`, limits.maxBytes);
  return new Reader(text, limits).document();
}

/** The value of a key, or undefined. */
export function memberOf(node: JsonNode | undefined, key: string): JsonNode | undefined {
  return node?.kind === "object" ? node.members.find((m) => m.key === key)?.value : undefined;
}

export interface JsonStyle {
  /**
   * `wire`: as read. `code-point`: every object sorted by code point. `js-top`: the outermost object alone, in the order
   * of a JavaScript object filled from sorted keys (array indices ascending, then UTF-16 order).
   */
  order: "wire" | "code-point" | "js-top";
  /** Escape everything from U+007F on as `\uXXXX`. */
  ascii: boolean;
  /** `", "` and `": "` between items, as Python's default. */
  spaced: boolean;
}

/** Prints a node: numbers by their source text, strings with the fewest escapes, no space unless the style has it. */
export function printJson(node: JsonNode, style: JsonStyle): string {
  return print(node, style, true);
}

function print(node: JsonNode, style: JsonStyle, outermost: boolean): string {
  const comma = style.spaced ? ", " : ",";
  switch (node.kind) {
    case "object": {
      const colon = style.spaced ? ": " : ":";
      const members = inOrder(node.members, style.order, outermost);
      return `{${members.map((m) => quote(m.key, style.ascii) + colon + print(m.value, style, false)).join(comma)}}`;
    }
    case "array":
      return `[${node.items.map((item) => print(item, style, false)).join(comma)}]`;
    case "string":
      return quote(node.value, style.ascii);
    case "number":
      return node.lexeme;
    case "constant":
      return String(node.value);
  }
}

function quote(text: string, ascii: boolean): string {
  const json = JSON.stringify(text);
  if (!ascii) return json;
  return json.replace(/[\u007f-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

function inOrder(members: JsonMember[], order: JsonStyle["order"], outermost: boolean): JsonMember[] {
  if (order === "code-point") return members.toSorted((a, b) => byCodePoint(a.key, b.key));
  if (order === "js-top" && outermost) return members.toSorted((a, b) => byJsKey(a.key, b.key));
  return members;
}

function byCodePoint(a: string, b: string): number {
  for (let i = 0; i < a.length && i < b.length; ) {
    const x = a.codePointAt(i)!;
    const y = b.codePointAt(i)!;
    if (x !== y) return x - y;
    i += x > 0xffff ? 2 : 1;
  }
  return a.length - b.length;
}

/** 2^32 - 2 is the last array index; JavaScript lists such keys first, as numbers. */
const isIndex = (key: string): boolean => /^(?:0|[1-9][0-9]{0,9})$/.test(key) && Number(key) <= 4_294_967_294;

function byJsKey(a: string, b: string): number {
  const indexA = isIndex(a);
  const indexB = isIndex(b);
  if (indexA && indexB) return Number(a) - Number(b);
  if (indexA !== indexB) return indexA ? -1 : 1;
  return a < b ? -1 : a > b ? 1 : 0;
}
