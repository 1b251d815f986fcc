import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  JSON_LIMITS,
  type JsonFault,
  type JsonStyle,
  JsonTextError,
  memberOf,
  parseLossless,
  printJson,
  utf8Length,
} from "../../src/kernel/lossless-json";

/** Proves that reading loses nothing a signature covers, that it agrees with JSON.parse on what is JSON, and the limits. */

const WIRE: JsonStyle = { order: "wire", ascii: false, spaced: false };
const print = (text: string): string => printJson(parseLossless(text), WIRE);

function faultOf(text: string, limits = JSON_LIMITS): JsonFault | null {
  try {
    parseLossless(text, limits);
    return null;
  } catch (error) {
    if (error instanceof JsonTextError) return error.fault;
    throw error;
  }
}

/** JSON text with number spellings that no parser to a double keeps, and white space anywhere. */
const number = fc
  .tuple(
    fc.constantFrom("", "-"),
    fc.oneof(fc.constant("0"), fc.bigInt({ min: 1n, max: 10n ** 30n }).map(String)),
    fc.oneof(
      fc.constant(""),
      fc.stringMatching(/^[0-9]{1,25}$/).map((d) => `.${d}`),
    ),
    fc.oneof(fc.constant(""), fc.stringMatching(/^[eE][+-]?[0-9]{1,4}$/)),
  )
  .map((parts) => parts.join(""));
const { tree } = fc.letrec<{ tree: string }>((tie) => ({
  tree: fc.oneof(
    { maxDepth: 5, withCrossShrink: true },
    number,
    fc.constantFrom("true", "false", "null"),
    fc.string({ unit: "binary" }).map((s) => JSON.stringify(s)),
    fc.array(tie("tree"), { maxLength: 5 }).map((items) => `[${items.join(",")}]`),
    fc
      .uniqueArray(fc.tuple(fc.string({ unit: "binary" }), tie("tree")), { maxLength: 5, selector: ([key]) => key })
      .map((members) => `{${members.map(([k, v]) => `${JSON.stringify(k)}:${v}`).join(",")}}`),
  ),
}));

describe("parseLossless", () => {
  it("keeps numbers, key order and every value: print gives the text back", () => {
    fc.assert(
      fc.property(tree, (text) => {
        expect(print(text)).toBe(text);
      }),
    );
  });

  it("does not mind white space, and finds each member's span", () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.integer({ min: 0, max: 4 }), (value, indent) => {
        const text = JSON.stringify({ a: 0, value, z: [] }, null, indent);
        expect(print(` ${text}\r\n\t`)).toBe(JSON.stringify({ a: 0, value, z: [] }));
        const node = memberOf(parseLossless(text), "value")!;
        expect(JSON.parse(text.slice(node.start, node.end))).toEqual(JSON.parse(JSON.stringify(value)));
      }),
    );
  });

  it("takes and refuses exactly what JSON.parse does, but for keys that come twice", () => {
    const piece = fc.constantFrom(
      "{",
      "}",
      "[",
      "]",
      ",",
      ":",
      '"a"',
      '"b"',
      '"',
      "\\",
      "\\u00",
      "1",
      "-",
      "0",
      ".",
      "e",
      "true",
      "nul",
      " ",
      "\u0000",
      "\ufeff",
      "NaN",
    );
    fc.assert(
      fc.property(
        fc.oneof(
          fc.array(piece, { maxLength: 12 }).map((p) => p.join("")),
          fc
            .tuple(tree, fc.nat(), piece)
            .map(([t, at, p]) => t.slice(0, at % (t.length + 1)) + p + t.slice(at % (t.length + 1))),
        ),
        (text) => {
          const fault = faultOf(text);
          let valid = true;
          try {
            JSON.parse(text);
          } catch {
            valid = false;
          }
          fc.pre(fault !== "duplicate_key");
          expect(fault === null).toBe(valid);
        },
      ),
      { numRuns: 500 },
    );
  });

  it("refuses a key twice at any level, also when one is written with escapes", () => {
    for (const text of ['{"a":1,"a":1}', '{"x":[{"a":1,"b":2,"\\u0061":3}]}', '{"__proto__":1,"__proto__":2}'])
      expect(faultOf(text), text).toBe("duplicate_key");
    expect(faultOf('{"a":{"a":1},"b":{"a":1}}')).toBeNull();
  });

  it("stops at the limits, one past and not one before", () => {
    const deep = (n: number): string => "[".repeat(n) + "]".repeat(n);
    expect(faultOf(deep(64))).toBeNull();
    expect(faultOf(deep(65))).toBe("too_deep");
    expect(faultOf(`${'{"a":'.repeat(65)}1${"}".repeat(65)}`)).toBe("too_deep");
    // Far deeper than any stack, unbalanced as an attacker would send it.
    expect(faultOf("[".repeat(900_000))).toBe("too_deep");
    const wide = `"${"x".repeat(JSON_LIMITS.maxBytes - 2)}"`;
    expect(faultOf(wide)).toBeNull();
    expect(faultOf(`${wide} `)).toBe("too_large");
    // Bytes count, not characters.
    expect(faultOf(`"${"ü".repeat(JSON_LIMITS.maxBytes / 2 - 1)}"`)).toBeNull();
    expect(faultOf(`"${"ü".repeat(JSON_LIMITS.maxBytes / 2)}"`)).toBe("too_large");
    const many = (n: number): string => `[${new Array<string>(n - 1).fill("0").join(",")}]`;
    expect(faultOf(many(JSON_LIMITS.maxNodes))).toBeNull();
    expect(faultOf(many(JSON_LIMITS.maxNodes + 1))).toBe("too_many_values");
  });

  it("quotes nothing of the text in its errors", () => {
    for (const text of ['{"sk-secret":1,"sk-secret":2}', '{"sk-secret"', "sk-secret"])
      try {
        parseLossless(text);
        expect.unreachable();
      } catch (error) {
        expect(String(error)).not.toContain("secret");
      }
  });
});

describe("utf8Length", () => {
  it("is what the encoder makes of a text", () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string({ unit: "binary" }),
          fc.array(fc.integer({ min: 0xd700, max: 0xe000 })).map((u) => String.fromCharCode(...u)),
        ),
        (text) => {
          expect(utf8Length(text)).toBe(new TextEncoder().encode(text).length);
        },
      ),
    );
  });
});

describe("key order", () => {
  it("is by code point where UTF-16 would differ, and JavaScript's at the top of form T", () => {
    const text = '{"\u{1F9C5}":1,"\uffee":2,"b":3,"10":4,"9":5,"nested":{"z":1,"a":2,"1":3}}';
    expect(printJson(parseLossless(text), { ...WIRE, order: "code-point" })).toBe(
      '{"10":4,"9":5,"b":3,"nested":{"1":3,"a":2,"z":1},"\uffee":2,"\u{1F9C5}":1}',
    );
    expect(printJson(parseLossless(text), { ...WIRE, order: "js-top" })).toBe(
      '{"9":5,"10":4,"b":3,"nested":{"z":1,"a":2,"1":3},"\u{1F9C5}":1,"\uffee":2}',
    );
  });
});
