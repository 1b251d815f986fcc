import { describe, expect, it } from "vitest";
import { TOKENS } from "../../src/operator/tokens";

/** Proves that the colours of both themes keep WCAG contrast wherever they meet; it does not look at the pages. */

type Theme = Record<string, string>;

const readTheme = (block: string): Theme =>
  Object.fromEntries([...block.matchAll(/--([a-z-]+):(#[0-9a-f]{6})/g)].map((m) => [m[1]!, m[2]!]));

const [lightText, ...darkTexts] = [...TOKENS.matchAll(/\{([^{}]*--bg:[^{}]*)\}/g)].map((m) => m[1]!);
const light = readTheme(lightText ?? "");
const darks = darkTexts.map(readTheme);

function luminance(hex: string): number {
  const channel = (i: number): number => {
    const v = Number.parseInt(hex.slice(i, i + 2), 16) / 255;
    return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  };
  return 0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5);
}

function contrast(a: string, b: string): number {
  const [hi, lo] = [luminance(a), luminance(b)].sort((x, y) => y - x) as [number, number];
  return (hi + 0.05) / (lo + 0.05);
}

const STATES = ["ok", "degraded", "down", "unknown", "maint"];
const GROUNDS = ["bg", "surface", "sunken", ...STATES.map((s) => `${s}-bg`)];
const lowest = (t: Theme, ink: string, grounds: string[]): number =>
  Math.min(...grounds.map((g) => contrast(t[ink]!, t[g]!)));

describe("design tokens", () => {
  it("states the dark block twice, word for word: by preference and by choice", () => {
    expect(darks).toHaveLength(2);
    expect(darks[0]).toEqual(darks[1]);
    expect(Object.keys(darks[0]!).sort()).toEqual(Object.keys(light).sort());
    expect(Object.keys(light)).toHaveLength(24);
  });

  for (const [name, theme] of [
    ["light", light],
    ["dark", darks[0]!],
  ] as const) {
    it(`${name}: text, muted text and links read on every ground (AA 4.5)`, () => {
      for (const ink of ["text", "muted", "accent"])
        expect(lowest(theme, ink, GROUNDS), ink).toBeGreaterThanOrEqual(4.5);
    });
    it(`${name}: a state's word reads on its tint and on the page`, () => {
      for (const s of STATES)
        expect(lowest(theme, s, [`${s}-bg`, "bg", "surface", "sunken"]), s).toBeGreaterThanOrEqual(4.5);
    });
    it(`${name}: a button's text reads on the accent`, () => {
      expect(contrast(theme["on-accent"]!, theme["accent"]!)).toBeGreaterThanOrEqual(4.5);
    });
    it(`${name}: shapes and borders of controls stand out (3)`, () => {
      for (const s of STATES) expect(contrast(theme[`${s}-fill`]!, theme["surface"]!), s).toBeGreaterThanOrEqual(3);
      expect(contrast(theme["control"]!, theme["surface"]!)).toBeGreaterThanOrEqual(3);
    });
  }

  it("matches the figures of the design page, so a changed colour is noticed", () => {
    const figure = (t: Theme, ink: string): string => lowest(t, ink, GROUNDS).toFixed(2);
    expect([figure(light, "text"), figure(darks[0]!, "text")]).toEqual(["14.46", "11.99"]);
    expect([figure(light, "muted"), figure(darks[0]!, "muted")]).toEqual(["5.60", "6.30"]);
    expect([figure(light, "accent"), figure(darks[0]!, "accent")]).toEqual(["4.95", "6.62"]);
  });
});
