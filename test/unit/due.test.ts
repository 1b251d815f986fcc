import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { dueTargets, isNews, overdue, SHARD_SIZE, shards, slotNumber } from "../../src/watch/due";
import type { DueRow } from "../../src/watch/target.store";

/** Proves which targets a tick looks at; not what it sees there. */

const MIN = 60_000;
const T0 = 1_800_000_000_000 - (1_800_000_000_000 % MIN);

const row = (id: string, every_s: number, more: Partial<DueRow> = {}): DueRow => ({
  num: 1,
  id,
  kind: "http",
  every_s,
  paused: 0,
  phase: "steady",
  status: "healthy",
  reason: "ok",
  not_before: null,
  next_look_at: null,
  ...more,
});

describe("dueTargets", () => {
  it("looks once an interval, whatever the interval and the id", () => {
    const every = fc.integer({ min: 1, max: 120 }).map((m) => m * 60);
    fc.assert(
      fc.property(fc.string({ minLength: 1, maxLength: 20 }), every, (id, every_s) => {
        const r = row(id, every_s);
        let looks = 0;
        const minutes = (every_s / 60) * 3;
        for (let i = 1; i <= minutes; i++) looks += dueTargets([r], T0 + (i - 1) * MIN, T0 + i * MIN).length;
        expect(looks).toBe(3);
      }),
    );
  });

  it("makes up for missed ticks with one look, never with several", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 500 }), fc.integer({ min: 60, max: 7200 }), (gap, every_s) => {
        const r = row("t", every_s);
        const due = dueTargets([r], T0, T0 + gap * MIN);
        expect(due.length).toBeLessThanOrEqual(1);
        if (gap * 60 >= every_s) expect(due).toHaveLength(1);
      }),
    );
  });

  it("spreads 1,000 targets of ten minutes over the ten minutes", () => {
    const rows = Array.from({ length: 1000 }, (_, i) => row(`target-${i}`, 600));
    for (let i = 1; i <= 10; i++) {
      const n = dueTargets(rows, T0 + (i - 1) * MIN, T0 + i * MIN).length;
      expect(n).toBeGreaterThan(60);
      expect(n).toBeLessThan(140);
    }
  });

  it("leaves suspect, open, paused and rate-limited targets alone, and looks at new ones at once", () => {
    const at = (r: DueRow): number => dueTargets([r], T0, T0 + MIN).length;
    expect(at(row("a", 60, { phase: "suspect" }))).toBe(0);
    expect(at(row("a", 60, { phase: "open" }))).toBe(0);
    expect(at(row("a", 60, { paused: 1 }))).toBe(0);
    expect(at(row("a", 60, { not_before: T0 + 5 * MIN }))).toBe(0);
    expect(at(row("a", 3600, { not_before: T0 + 1 }))).toBe(1);
    expect(at(row("a", 86_400, { reason: "not_looked_yet" }))).toBe(1);
    expect(dueTargets([row("a", 86_400)], 0, T0)).toHaveLength(1);
  });

  it("a slot number never falls and rises by one an interval", () => {
    expect(slotNumber("x", 300, T0 + 300_000) - slotNumber("x", 300, T0)).toBe(1);
  });
});

describe("shards, news and lost alarms", () => {
  it("cuts into shards of a hundred that hold each target once", () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.nat(), { maxLength: 700 }), (nums) => {
        const parts = shards(nums);
        expect(parts.flat().sort((a, b) => a - b)).toEqual([...nums].sort((a, b) => a - b));
        for (const p of parts) expect(p.length).toBeLessThanOrEqual(SHARD_SIZE);
      }),
    );
  });

  it("a healthy look at a healthy target is no news; a bad one always is, save in maintenance", () => {
    const steady = row("a", 60);
    const bad = { status: "unhealthy", reason: "service_unhealthy" } as const;
    expect(isNews(steady, { status: "healthy", reason: "ok" }, false)).toBe(false);
    expect(isNews(steady, bad, false)).toBe(true);
    // Bad since maintenance: its stored face is the same, and the first look afterwards must still count.
    expect(isNews({ ...steady, ...bad }, bad, false)).toBe(true);
    expect(isNews({ ...steady, ...bad }, bad, true)).toBe(false);
    expect(isNews(steady, { status: "unknown", reason: "not_probed" }, false)).toBe(false);
    expect(
      isNews(
        row("a", 60, { status: "unknown", reason: "not_configured" }),
        { status: "unknown", reason: "not_configured" },
        false,
      ),
    ).toBe(false);
  });

  it("finds an object whose own look is overdue", () => {
    const late = row("a", 60, { phase: "open", next_look_at: T0 - 10 * MIN });
    expect(overdue([late, row("b", 60), row("c", 60, { next_look_at: T0 + MIN })], T0, 2 * MIN)).toEqual([late]);
  });
});
