import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  type Counted,
  decodeRollups,
  ENTRY_MAX,
  emptyTally,
  encodeRollups,
  entryNeedle,
  expectedMs,
  mergeRollups,
  PART_SIZE,
  quantile,
  type Rollup,
  rollupLooks,
  rollupTarget,
  STATES,
  stateOf,
  type Tally,
  uptime,
} from "../../src/watch/rollup";

/** Proves the arithmetic of hours: counts equal the looks, quantiles are exact, time is weighed once, uptime is never flattered. */

const START = Date.UTC(2026, 10, 20, 13);
const HOUR = 3_600_000;
const MINUTE = 60_000;
const PACE = { every_s: 60, created_at: 0 };

const look = (at: number, more: Partial<Counted> = {}): Counted => ({
  num: 1,
  at,
  status: "healthy",
  maintenance: false,
  latency_ms: 100,
  ...more,
});
const anyLook = fc.record({
  num: fc.integer({ min: 1, max: 6 }),
  at: fc.integer({ min: START, max: START + HOUR + 50_000 }),
  status: fc.constantFrom("healthy", "degraded", "unhealthy", "unknown"),
  maintenance: fc.boolean(),
  latency_ms: fc.option(fc.nat({ max: 9_000 }), { nil: null }),
}) as fc.Arbitrary<Counted>;

/** The definition, written the slow way: of n ascending values, the k-th with k = the share rounded up. */
function slowQuantile(values: number[], percent: number): number | null {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted.find((_, i) => (i + 1) * 100 >= percent * sorted.length) ?? null;
}

describe("an hour", () => {
  it("counts exactly its looks, and its quantiles are over every latency", () => {
    fc.assert(
      fc.property(fc.array(anyLook, { maxLength: 200 }), fc.integer({ min: 60, max: 7_200 }), (looks, every_s) => {
        const rows = rollupLooks(looks, START, new Map([1, 2, 3].map((n) => [n, { every_s, created_at: 0 }])));
        expect(rows.map((r) => r.num)).toEqual([...new Set(looks.map((l) => l.num))].sort((a, b) => a - b));
        for (const row of rows) {
          const mine = looks.filter((l) => l.num === row.num);
          expect(row.n).toBe(mine.length);
          for (const state of STATES) expect(row[state]).toBe(mine.filter((l) => stateOf(l) === state).length);
          const known = mine.flatMap((l) => (l.latency_ms === null ? [] : [l.latency_ms]));
          expect(row.p50).toBe(slowQuantile(known, 50));
          expect(row.p95).toBe(slowQuantile(known, 95));
          expect(row.max).toBe(known.length ? Math.max(...known) : null);
          const time = STATES.reduce((sum, s) => sum + row.ms[s], 0);
          expect(time).toBeGreaterThanOrEqual(0);
          expect(time).toBeLessThanOrEqual(HOUR);
        }
      }),
    );
  });

  it("has exact quantiles of known values", () => {
    const sorted = Array.from({ length: 100 }, (_, i) => i + 1);
    expect([quantile(sorted, 0.5), quantile(sorted, 0.95), quantile([7], 0.95), quantile([], 0.5)]).toEqual([
      50,
      95,
      7,
      null,
    ]);
    expect(quantile([1, 2], 0.5)).toBe(1);
  });

  it("splits latency into halves at the half hour", () => {
    const row = rollupTarget(
      1,
      [
        look(START, { latency_ms: 10 }),
        look(START + HOUR / 2 - 1, { latency_ms: 10 }),
        look(START + HOUR / 2, { latency_ms: 30 }),
      ],
      START,
      PACE,
    );
    expect(row.half).toEqual([10, 30]);
    expect(rollupTarget(1, [look(START)], START, PACE).half).toEqual([100, null]);
  });

  it("gives every millisecond of a fully watched hour to one state", () => {
    const looks = Array.from({ length: 60 }, (_, i) => look(START + i * MINUTE + 900 + (i % 7) * 300));
    const row = rollupTarget(1, looks, START, PACE);
    expect(row.ms).toEqual({ ok: HOUR, degraded: 0, bad: 0, unknown: 0, maintenance: 0 });
  });

  it("does not overstate downtime because a target that is down is looked at more often", () => {
    // Every 5 min; down from :20 to :30, seen each 30 s by its object: 20 bad looks against 10 good ones.
    const good = [0, 5, 10, 15, 30, 35, 40, 45, 50, 55].map((m) => look(START + m * MINUTE));
    const bad = Array.from({ length: 20 }, (_, i) => look(START + 20 * MINUTE + i * 30_000, { status: "unhealthy" }));
    const row = rollupTarget(1, [...good, ...bad], START, { every_s: 300, created_at: 0 });
    expect([row.ok, row.bad]).toEqual([10, 20]);
    expect([row.ms.ok, row.ms.bad]).toEqual([50 * MINUTE, 10 * MINUTE]);
    expect(uptime(row).percent).toBe(83.33);
  });

  it("leaves silence longer than one and a half intervals unseen", () => {
    const looks = [0, 1, 2, 30, 31].map((m) => look(START + m * MINUTE));
    const row = rollupTarget(1, looks, START, PACE);
    // 0-2 min and 90 s of reach, 30-31 and 90 s of reach.
    expect(row.ms.ok).toBe(2 * MINUTE + 90_000 + MINUTE + 90_000);
    const u = uptime(row, expectedMs(HOUR, 60));
    expect(u.percent).toBe(100);
    expect(u.partial).toBe(true);
  });

  it("does not reach back before the target was made", () => {
    const row = rollupTarget(1, [look(START + 50 * MINUTE)], START, {
      every_s: 3_600,
      created_at: START + 49 * MINUTE,
    });
    expect(row.ms.ok).toBe(11 * MINUTE);
  });

  it("keeps a look that began after the end of its cycle's hour inside the hour", () => {
    const row = rollupTarget(
      1,
      [look(START + 59 * MINUTE), look(START + HOUR + 20_000, { status: "unhealthy" })],
      START,
      PACE,
    );
    expect(row.bad).toBe(1);
    expect(row.ms.bad).toBe(0);
    expect(uptime(row).percent).toBe(99.99);
  });
});

const anyRollup: fc.Arbitrary<Rollup> = fc
  .tuple(
    fc.array(fc.nat({ max: 4_000 }), { minLength: 5, maxLength: 5 }),
    fc.array(fc.option(fc.nat({ max: 99_999 }), { nil: null }), { minLength: 5, maxLength: 5 }),
    fc.array(fc.nat({ max: 86_400_000 }), { minLength: 5, maxLength: 5 }),
  )
  .map(([c, l, t]) => ({
    num: 0,
    ...emptyTally(),
    ...Object.fromEntries(STATES.map((s, i) => [s, c[i]])),
    n: c.reduce((a, b) => a + b, 0),
    ms: Object.fromEntries(STATES.map((s, i) => [s, t[i]])) as Tally["ms"],
    p50: l[0]!,
    p95: l[1]!,
    max: l[2]!,
    half: [l[3]!, l[4]!],
  }));

describe("stored rollups", () => {
  it("come back as they went in, and one entry can be cut out", () => {
    fc.assert(
      fc.property(fc.array(anyRollup, { maxLength: 30 }), fc.boolean(), (list, merged) => {
        const rows = list.map((r, i) => ({ ...r, num: i * 37 + 1 }));
        const text = encodeRollups(rows, merged);
        expect(decodeRollups(text)).toEqual({ merged, rows });
        for (const row of rows) {
          const at = text.indexOf(entryNeedle(row.num));
          expect(
            decodeRollups(
              `1\n${text
                .slice(at, at + ENTRY_MAX)
                .split(";")
                .slice(0, 2)
                .join(";")}`,
            )?.rows,
          ).toEqual([row]);
        }
      }),
    );
  });

  it("keep 5,000 targets under 1 MB at the widest", () => {
    const wide: Rollup = {
      num: 0,
      ...emptyTally(),
      ...Object.fromEntries(STATES.map((s) => [s, 2_880])),
      n: 14_400,
      ms: Object.fromEntries(STATES.map((s) => [s, 86_400_000])) as Tally["ms"],
      p50: 999_999,
      p95: 999_999,
      max: 999_999,
      half: [999_999, 999_999],
    };
    const text = encodeRollups(Array.from({ length: PART_SIZE }, (_, i) => ({ ...wide, num: 1_000_000 + i })));
    expect(text.length).toBeLessThan(1_000_000);
  });

  it("are null when they are not ours to read", () => {
    for (const bad of ["", "1", "2\n;1:1", "1\n;!:1", "1\n;1:,,,,,,,,,,,,,,,,1"])
      expect(decodeRollups(bad), bad).toBeNull();
    expect(decodeRollups("1\n")).toEqual({ merged: false, rows: [] });
  });
});

describe("merged hours", () => {
  it("have exact counts, times and max, and quantiles between those of the hours", () => {
    fc.assert(
      fc.property(fc.array(anyRollup, { minLength: 1, maxLength: 24 }), (hours) => {
        const day = mergeRollups(1, hours);
        for (const s of STATES) {
          expect(day[s]).toBe(hours.reduce((n, h) => n + h[s], 0));
          expect(day.ms[s]).toBe(hours.reduce((n, h) => n + h.ms[s], 0));
        }
        const of = (k: "p50" | "p95" | "max") => hours.flatMap((h) => (h[k] === null ? [] : [h[k]]));
        expect(day.max).toBe(of("max").length ? Math.max(...of("max")) : null);
        for (const k of ["p50", "p95"] as const) {
          if (of(k).length === 0) expect(day[k]).toBeNull();
          else {
            expect(day[k]!).toBeGreaterThanOrEqual(Math.min(...of(k)));
            expect(day[k]!).toBeLessThanOrEqual(Math.max(...of(k)));
          }
        }
      }),
    );
  });
});

describe("uptime", () => {
  const tally = (ms: Partial<Tally["ms"]>, counts: Partial<Tally> = {}): Tally => ({
    ...emptyTally(),
    ...counts,
    ms: { ...emptyTally().ms, ...ms },
  });

  it("counts degraded as up and leaves unknown and maintenance out", () => {
    expect(uptime(tally({ ok: 50, degraded: 25, bad: 25, unknown: 500, maintenance: 900 })).percent).toBe(75);
  });

  it("is cut, never rounded up, and 100 only when nothing was bad", () => {
    expect(uptime(tally({ ok: 999_999, bad: 1 })).percent).toBe(99.99);
    expect(uptime(tally({ ok: 2, bad: 1 })).percent).toBe(66.66);
    expect(uptime(tally({ ok: 10 })).percent).toBe(100);
    expect(uptime(tally({ ok: 10 }, { bad: 1 })).percent).toBe(99.99);
    expect(uptime(tally({ bad: 3 })).percent).toBe(0);
    fc.assert(
      fc.property(fc.nat({ max: 1e9 }), fc.integer({ min: 1, max: 1e9 }), (ok, bad) => {
        const { percent } = uptime(tally({ ok, bad }));
        expect(percent!).toBeLessThan(100);
        expect(percent! * (ok + bad)).toBeLessThanOrEqual(100 * ok + 1e-3 * (ok + bad));
      }),
    );
  });

  it("is unknown when nothing was seen", () => {
    expect(uptime(tally({ unknown: 10 }))).toEqual({ percent: null, coverage: 0, partial: true });
    expect(uptime(emptyTally())).toEqual({ percent: null, coverage: null, partial: false });
  });

  it("marks coverage under 98 % of what should have been seen, maintenance apart", () => {
    expect(uptime(tally({ ok: 979, unknown: 21 })).partial).toBe(true);
    expect(uptime(tally({ ok: 980, unknown: 20 })).partial).toBe(false);
    expect(uptime(tally({ ok: 500, maintenance: 500 }), 1_000)).toEqual({ percent: 100, coverage: 1, partial: false });
    expect(uptime(tally({ ok: 500 }), 1_000).coverage).toBe(0.5);
  });

  it("expects one hour of reach from a look a day", () => {
    expect(expectedMs(24 * HOUR, 86_400)).toBe(HOUR);
    expect(expectedMs(24 * HOUR, 300)).toBe(24 * HOUR);
  });
});
