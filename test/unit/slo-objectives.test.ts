import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { DAY, HOUR, MINUTE } from "../../src/kernel/clock";
import {
  burnOf,
  coverageOf,
  jitterOf,
  judge,
  mergeTallies,
  outcomeOf,
  percentile,
  type Sample,
  slotAt,
  summarise,
  TARGET_24H,
  tally,
} from "../../src/slo/objectives";

const NOW = Date.UTC(2026, 8, 21, 12);

const good = (at: number, more: Partial<Sample> = {}): Sample & { id: string } => ({
  ...{ id: `p${at}`, at, failed: false, error_class: null, l1: 100, l2: 150, l3: 200, l4: 250, l2_known: true },
  ...more,
});
const bad = (at: number, error_class: Sample["error_class"] = "reply_timeout") =>
  good(at, { failed: true, error_class, l3: null, l4: null });
/** `failed` of `n`, all within the last hour. */
const day = (n: number, failed: number) =>
  Array.from({ length: n }, (_, i) => (i < failed ? bad(NOW - i * 1000 - 1) : good(NOW - i * 1000 - 1)));

const sample = fc.record({
  id: fc.string(),
  at: fc.integer({ min: NOW - DAY + 1, max: NOW }),
  failed: fc.boolean(),
  error_class: fc.constantFrom(null, "reply_timeout", "config_error") as fc.Arbitrary<Sample["error_class"]>,
  l1: fc.option(fc.nat(90_000)),
  l2: fc.option(fc.nat(90_000)),
  l3: fc.option(fc.nat(90_000)),
  l4: fc.option(fc.nat(90_000)),
  l2_known: fc.boolean(),
});

describe("percentiles by nearest rank", () => {
  it("are members of the sample, and exactly so many values lie at or below them", () => {
    fc.assert(
      fc.property(
        fc.array(fc.nat(100_000), { minLength: 1 }),
        fc.nat(40),
        fc.integer({ min: 1, max: 100 }),
        (v, lost, p) => {
          const sorted = [...v].sort((a, b) => a - b);
          const n = v.length + lost;
          const got = percentile(sorted, n, p)!;
          if (got === Number.POSITIVE_INFINITY) expect(v.length * 100).toBeLessThan(p * n);
          else {
            expect(v).toContain(got);
            expect(sorted.filter((x) => x <= got).length * 100).toBeGreaterThanOrEqual(p * n);
            expect(sorted.filter((x) => x < got).length * 100).toBeLessThan(p * n);
          }
        },
      ),
    );
  });
  it("grow with the percentage, and nothing has none", () => {
    fc.assert(
      fc.property(fc.array(fc.nat(100_000), { minLength: 1 }), fc.integer({ min: 1, max: 99 }), (v, p) => {
        const sorted = [...v].sort((a, b) => a - b);
        expect(percentile(sorted, v.length, p)!).toBeLessThanOrEqual(percentile(sorted, v.length, p + 1)!);
      }),
    );
    expect(percentile([], 0, 95)).toBeNull();
  });
  it("count a level that was not reached as infinite", () => {
    const few = summarise(tally([...day(20, 1)]), TARGET_24H);
    expect(few.levels.l3).toMatchObject({ p95_ms: 200, met: true, n: 20 });
    const more = summarise(tally([...day(20, 2)]), TARGET_24H);
    expect(more.levels.l3).toMatchObject({ p50_ms: 200, p95_ms: null, met: false });
    expect(more.levels.l1).toMatchObject({ p95_ms: 100, met: true });
    expect(more.few).toBe(true);
  });
});

describe("tallies", () => {
  it("sum to the same whatever way the probes are divided", () => {
    fc.assert(
      fc.property(fc.array(sample), fc.nat(), (samples, cut) => {
        const at = samples.length === 0 ? 0 : cut % samples.length;
        const parts = [tally(samples.slice(0, at)), tally(samples.slice(at))];
        expect(summarise(mergeTallies(parts), 99)).toEqual(summarise(tally(samples), 99));
      }),
    );
  });
  it("leave our own settings out of the objective, and say how many", () => {
    const t = tally([good(NOW), bad(NOW, "config_error"), bad(NOW)]);
    expect(t).toMatchObject({ n: 2, failed: 1, excluded: 1, classes: { config_error: 1, reply_timeout: 1 } });
  });
});

describe("budget and burn", () => {
  it("agree: what is left is one minus the burn, and burn 1 is exactly the target", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 3_000 }), fc.nat(3_000), fc.constantFrom(95, 99), (n, f, target) => {
        const failed = Math.min(n, f);
        const burn = burnOf(failed, n, target)!;
        expect(burn > 1).toBe(failed * 100 > n * (100 - target));
        const s = summarise({ ...tally([]), n, failed }, target);
        expect(s.budget_remaining).toBeCloseTo(1 - burn, 10);
        expect(s.met).toBe(burn <= 1);
        expect(s.budget).toBeCloseTo((n * (100 - target)) / 100, 10);
      }),
    );
    expect(burnOf(0, 0, 95)).toBeNull();
  });
  it("alert fast over 6 h from 12 probes and slow over 24 h from 30", () => {
    expect(judge("C2L", day(12, 4), null, NOW).burn).toMatchObject({ bad: true, severity: "critical" });
    expect(judge("C2L", day(11, 11), null, NOW).burn.bad).toBe(false);
    expect(judge("C2L", day(12, 3), null, NOW).burn.bad).toBe(false);
    expect(judge("C2L", day(40, 2), null, NOW).burn).toMatchObject({ bad: true, severity: "warning" });
    expect(judge("C2L", day(41, 2), null, NOW).burn.bad).toBe(false);
    const old = day(12, 4).map((s) => ({ ...s, at: s.at - 7 * HOUR }));
    expect(judge("C2L", old, null, NOW).burn.bad).toBe(false);
  });
});

describe("rate and hang", () => {
  it("want 30 probes, and strictly more than one in twenty", () => {
    expect(judge("C2L", day(29, 29), null, NOW).rate.bad).toBe(false);
    expect(judge("C2L", day(30, 2), null, NOW).rate.bad).toBe(true);
    for (const n of [40, 60, 100, 140, 1_000]) {
      expect(judge("C2L", day(n, n / 20), null, NOW).rate.bad).toBe(false);
      expect(judge("C2L", day(n, n / 20 + 1), null, NOW).rate.bad).toBe(true);
    }
  });
  it("one hang alerts whatever the number, with ids cut and no body; older than a day it does not", () => {
    const hang = { ...bad(NOW - 1, "unexplained_hang"), id: "01ABCDEFGHIJKLMNOPQRSTUVWX" };
    const told = judge("L2C", [hang], null, NOW).hang;
    expect(told).toMatchObject({ bad: true, severity: "critical", details: { sample: ["QRSTUVWX"] } });
    expect(judge("L2C", [{ ...hang, at: NOW - DAY }], null, NOW).hang.bad).toBe(false);
    expect(judge("L2C", [hang], null, NOW).rate.bad).toBe(false);
  });
  it("say 0, 1 or 2", () => {
    expect([outcomeOf(10, 0, 0), outcomeOf(30, 0, 0), outcomeOf(10, 1, 0), outcomeOf(10, 1, 1)]).toEqual([2, 0, 0, 1]);
  });
});

describe("the schedule", () => {
  const d = { code: "C2L" as const, every_s: 900, offset_s: 0 };
  it("has a jitter that everybody works out alike, and runs each slot once, in order", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 4e12 }), fc.integer({ min: 0, max: 1_800 }), (at, offset_s) => {
        const { slot, due } = slotAt({ ...d, offset_s }, at);
        expect(due).toBeLessThanOrEqual(at);
        const next = (slot + 1) * 900_000 + offset_s * 1000 + jitterOf("C2L", slot + 1, 900);
        expect(next).toBeGreaterThan(at);
        expect(slotAt({ ...d, offset_s }, due).slot).toBe(slot);
      }),
    );
    expect(new Set([0, 1, 2, 3, 4].map((s) => jitterOf("C2L", s, 900))).size).toBe(5);
    expect(Math.max(...Array.from({ length: 500 }, (_, s) => jitterOf("L2C", s, 900)))).toBeLessThan(2 * MINUTE);
  });
  it("counts a skipped slot as missing coverage, not as a failure", () => {
    const schedule = { every_s: 900, paused: false, since: NOW - 10 * DAY };
    const all = Array.from({ length: 96 }, (_, i) => NOW - i * 900_000);
    expect(coverageOf(all, schedule, NOW)).toBe(1);
    const half = coverageOf(all.slice(0, 48), schedule, NOW)!;
    expect(half).toBeCloseTo(48 / 95);
    expect(judge("C2L", day(40, 0), half, NOW).coverage.bad).toBe(true);
    expect(coverageOf([], { ...schedule, paused: true }, NOW)).toBeNull();
    expect(coverageOf([], { ...schedule, since: NOW - HOUR }, NOW)).toBeNull();
    expect(coverageOf([], { ...schedule, since: NOW - 2 * HOUR }, NOW)).toBe(0);
  });
});
