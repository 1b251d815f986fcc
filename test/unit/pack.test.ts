import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  decodePack,
  decodeSample,
  EXTRA_MAX,
  encodePack,
  needleOf,
  PACK_MAX,
  type PackSample,
  RING,
  slotOf,
} from "../../src/watch/pack";
import { type Json, REASONS } from "../../src/watch/types";

/** Proves the text format of packs: nothing is lost inside its limits, what is lost beyond them is counted, garbage is refused. */

const details = fc
  .dictionary(fc.string({ maxLength: 12 }), fc.jsonValue({ maxDepth: 2 }), { maxKeys: 4 })
  .map((d) => JSON.parse(JSON.stringify(d)) as Record<string, Json>)
  .filter((d) => new TextEncoder().encode(JSON.stringify(d)).length <= EXTRA_MAX);
const sample = (num: fc.Arbitrary<number>) =>
  fc.record(
    {
      num,
      status: fc.constantFrom("healthy", "degraded", "unhealthy", "unknown"),
      reason: fc.constantFrom(...REASONS),
      maintenance: fc.boolean(),
      latency_ms: fc.option(fc.nat({ max: 60_000 }), { nil: null }),
      offset_ms: fc.nat({ max: 300_000 }),
      details,
      error: fc.string({ maxLength: 200 }),
    },
    { requiredKeys: ["num", "status", "reason", "maintenance", "latency_ms", "offset_ms"] },
  ) as fc.Arbitrary<PackSample>;
const packs = fc.uniqueArray(sample(fc.integer({ min: 1, max: 100_000 })), { selector: (s) => s.num, maxLength: 40 });
const sorted = (list: PackSample[]) => [...list].sort((a, b) => a.num - b.num);

const plain = (num: number, more: Partial<PackSample> = {}): PackSample => ({
  num,
  status: "healthy",
  reason: "ok",
  maintenance: false,
  latency_ms: 80,
  offset_ms: 1_200,
  ...more,
});

describe("packs", () => {
  it("come back as they went in", () => {
    fc.assert(
      fc.property(packs, (samples) => {
        const { text, dropped } = encodePack(samples);
        expect(dropped).toEqual({ details: 0, errors: 0 });
        expect(decodePack(text)).toEqual({ samples: sorted(samples), dropped });
      }),
    );
  });

  it("let one sample be found by its needle, whatever stands in the details of others", () => {
    fc.assert(
      fc.property(packs, fc.integer({ min: 1, max: 100_000 }), (samples, num) => {
        const other = plain(100_001, {
          details: { note: needleOf(num), [needleOf(num)]: 1 },
          error: `x${needleOf(num)}.0,0`,
        });
        const { text } = encodePack([...samples, other]);
        const at = text.indexOf(needleOf(num));
        const there = samples.find((s) => s.num === num);
        expect(at >= 0).toBe(there !== undefined);
        if (there) {
          const { details: _d, error: _e, ...bare } = there;
          expect(decodeSample(text.slice(at, at + 48))).toEqual(bare);
        }
      }),
    );
  });

  it("take under 14 bytes a healthy sample", () => {
    const { text } = encodePack(
      Array.from({ length: 100 }, (_, i) => plain(i + 900, { latency_ms: 40 + i, offset_ms: i * 70 })),
    );
    expect(text.length).toBeLessThan(100 * 14);
  });

  it("keep what was seen during maintenance", () => {
    const { text } = encodePack([plain(1, { maintenance: true, status: "unhealthy", reason: "service_unhealthy" })]);
    expect(text).toContain(":MX");
    expect(decodePack(text)?.samples[0]).toMatchObject({ maintenance: true, status: "unhealthy" });
  });

  it("leave out details over 1 KiB, cut errors at 1 KiB, and count", () => {
    const { text, dropped } = encodePack([
      plain(1, { details: { big: "é".repeat(600) } }),
      plain(2, { error: "é".repeat(2_000) }),
      plain(3, { details: { small: 1 } }),
    ]);
    expect(dropped).toEqual({ details: 1, errors: 0 });
    const back = decodePack(text)!;
    expect(back.dropped).toEqual(dropped);
    expect(back.samples[0]!.details).toBeUndefined();
    expect(new TextEncoder().encode(back.samples[1]!.error!).length).toBeLessThanOrEqual(EXTRA_MAX);
    expect(back.samples[2]!.details).toEqual({ small: 1 });
  });

  it("drop details first, then errors, to stay under the limit", () => {
    const many = Array.from({ length: 300 }, (_, i) =>
      plain(i + 1, { details: { x: "a".repeat(900) }, error: "short" }),
    );
    const one = encodePack(many);
    expect(new TextEncoder().encode(one.text).length).toBeLessThanOrEqual(PACK_MAX);
    expect(one.dropped.details).toBeGreaterThan(50);
    expect(one.dropped.details).toBeLessThan(150);
    expect(one.dropped.errors).toBe(0);
    expect(decodePack(one.text)!.samples.filter((s) => s.error === "short")).toHaveLength(300);

    const two = encodePack(many.map((s) => ({ ...s, error: `\u0001${"e".repeat(1_000)}` })));
    expect(new TextEncoder().encode(two.text).length).toBeLessThanOrEqual(PACK_MAX);
    expect(two.dropped.details).toBe(300);
    expect(two.dropped.errors).toBeGreaterThan(50);
    expect(decodePack(two.text)!.samples).toHaveLength(300);
  });

  it("refuse a target that is in twice, and more samples than a row may hold", () => {
    expect(() => encodePack([plain(7), plain(7)])).toThrow(/number 7 is in twice/);
    expect(() => encodePack(Array.from({ length: 25_000 }, (_, i) => plain(i)))).toThrow(/smaller shards/);
  });

  it("are null when they are not ours to read", () => {
    const good = encodePack([plain(1, { error: "x" })]).text;
    for (const bad of [
      "",
      "2\n;1:.0,0",
      "1",
      `${good}]`,
      good.replace(";1:", ";1"),
      "1\n;1:Z0,0",
      "1\n;1:.z,0",
      '1\n\n[[9,null,"x"]]',
    ])
      if (bad === "1") expect(decodePack(bad)?.samples).toEqual([]);
      else expect(decodePack(bad), JSON.stringify(bad)).toBeNull();
    fc.assert(fc.property(fc.string(), (text) => void decodePack(text)));
    fc.assert(
      fc.property(fc.nat({ max: good.length }), fc.string({ maxLength: 3 }), (at, junk) => {
        decodePack(good.slice(0, at) + junk + good.slice(at));
      }),
    );
  });

  it("share a slot with the cycle 14 days before, and with no other", () => {
    const at = Date.UTC(2026, 10, 20, 13, 37);
    expect(slotOf(at)).toBe(slotOf(at + RING * 60_000));
    expect(slotOf(at + 59_999)).toBe(slotOf(at));
    const slots = new Set(Array.from({ length: RING }, (_, i) => slotOf(at + i * 60_000)));
    expect(slots.size).toBe(RING);
    expect(Math.max(...slots)).toBe(RING - 1);
  });
});
