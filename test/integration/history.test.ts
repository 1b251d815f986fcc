import { env } from "cloudflare:workers";
import fc from "fast-check";
import { beforeAll, beforeEach, describe, expect, it } from "vitest";
import { latestSamples, readDays, readHours, targetSeries } from "../../src/watch/history.store";
import { expireLooks, lookStatement, readLooks } from "../../src/watch/look.store";
import { RING_MS } from "../../src/watch/pack";
import { type Rollup, STATES, stateOf } from "../../src/watch/rollup";
import { expireHistory, liveHour, rollupDay, rollupDue, rollupHour } from "../../src/watch/rollup.store";
import {
  lastPacked,
  packStatement,
  readPackedOf,
  readPacks,
  type ShardSample,
  samplesOf,
} from "../../src/watch/sample.store";
import type { Snapshot, Status } from "../../src/watch/types";

/**
 * Proves the history on real D1: one row a pack, the ring's wrap and its stale rows, hours that count exactly what was
 * stored, days, catch-up, and reads of one target. It does not prove speed.
 */

const db = env.DB;
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const H = Date.UTC(2026, 10, 20, 13);

const snapshot = (at: number, more: Partial<Snapshot> = {}): Snapshot => ({
  at,
  status: "healthy",
  reason: "ok",
  latency_ms: 100,
  details: {},
  error: null,
  ...more,
});
const seen = (num: number, at: number, more: Partial<Snapshot> = {}, maintenance = false): ShardSample => ({
  num,
  snapshot: snapshot(at, more),
  maintenance,
});
const put = (cycleAt: number, samples: ShardSample[], shard = 0) =>
  packStatement(db, { cycleAt, shard, samples }).run();
const look = (num: number, at: number, more: Partial<Snapshot> = {}, maintenance = false, open = false) =>
  lookStatement(db, num, snapshot(at, more), maintenance, open).run();
const target = (num: number, created_at: number, every_s = 60) =>
  db
    .prepare(
      `INSERT INTO target (num, id, name, kind, every_s, config, credentials, thresholds, source, created_at, updated_at)
       VALUES (?1, 'h' || ?1, 'h' || ?1, 'http', ?2, '{}', '{}', '{}', 'api', ?3, ?3)`,
    )
    .bind(num, every_s, created_at)
    .run();

// The builtin rules make room for the numbers used here.
beforeAll(() => db.prepare("UPDATE target SET num = num + 1000000").run());

beforeEach(async () => {
  await db.batch(
    ["watch_pack", "watch_look", "watch_rollup"]
      .map((t) => db.prepare(`DELETE FROM ${t}`))
      .concat(db.prepare("DELETE FROM target WHERE source = 'api'")),
  );
});

describe("packs in the ring", () => {
  it("cost one row written: first, again, and over the lap before", async () => {
    const samples = Array.from({ length: 100 }, (_, i) => seen(i + 1, H + i, { details: { code: 200 } }));
    for (const at of [H, H, H + RING_MS]) expect((await put(at, samples)).meta.rows_written).toBe(1);
    expect((await db.prepare("SELECT COUNT(*) AS n FROM watch_pack").first<{ n: number }>())?.n).toBe(1);
  });

  it("are never replaced by a late shard of an older lap", async () => {
    await put(H + RING_MS, [seen(1, H + RING_MS)]);
    expect((await put(H, [seen(2, H)])).meta.rows_written).toBe(0);
    expect(samplesOf(await readPacks(db, H, H + 1))).toEqual([]);
    expect(samplesOf(await readPacks(db, H + RING_MS, H + RING_MS + 1))).toHaveLength(1);
  });

  it("hide a stale row that a smaller fleet left behind", async () => {
    await put(H, [seen(1, H)], 0);
    await put(H, [seen(2, H)], 1);
    await put(H + RING_MS, [seen(1, H + RING_MS)], 0);
    const read = await readPacks(db, H + RING_MS - HOUR, H + RING_MS + HOUR);
    expect(read.packs.map((p) => [p.shard, p.cycle_at])).toEqual([[0, H + RING_MS]]);
  });

  it("are read in order across the wrap", async () => {
    const wrap = Math.ceil(H / RING_MS) * RING_MS;
    const minutes = [-3, -2, -1, 0, 1, 2];
    for (const m of minutes) await put(wrap + m * MINUTE, [seen(1, wrap + m * MINUTE + 500, { latency_ms: 10 + m })]);
    const slots = await db.prepare("SELECT slot FROM watch_pack ORDER BY cycle_at").all<{ slot: number }>();
    expect(slots.results.map((r) => r.slot)).toEqual([20_157, 20_158, 20_159, 0, 1, 2]);
    const from = wrap - 2 * MINUTE;
    const to = wrap + 2 * MINUTE;
    expect(samplesOf(await readPacks(db, from, to)).map((s) => s.latency_ms)).toEqual([8, 9, 10, 11]);
    expect((await readPackedOf(db, 1, from, to)).map((s) => s.latency_ms)).toEqual([8, 9, 10, 11]);
    expect((await lastPacked(db, 1, wrap + 2 * MINUTE + 30_000))?.latency_ms).toBe(12);
    expect((await lastPacked(db, 1, wrap - MINUTE))?.latency_ms).toBe(9);
    expect(await lastPacked(db, 1, wrap + 2 * DAY)).toBeNull();
  });

  it("skip and count a row that can't be read", async () => {
    await put(H, [seen(1, H)]);
    await db.prepare("UPDATE watch_pack SET data = 'nonsense'").run();
    await put(H + MINUTE, [seen(1, H + MINUTE)]);
    const read = await readPacks(db, H, H + HOUR);
    expect([read.packs.length, read.unreadable]).toEqual([1, 1]);
    expect((await rollupHour(db, H, H + HOUR)).unreadable).toBe(1);
  });

  it("keep details of bad looks always, of healthy ones in turn, and none when they are not asked for", async () => {
    const big = { text: "d".repeat(600) };
    const shard = (at: number) =>
      Array.from({ length: 20 }, (_, i) =>
        seen(
          i + 1,
          at,
          i === 3
            ? { status: "unhealthy", reason: "service_unhealthy", details: big, error: "boom" }
            : { details: big },
        ),
      );
    const kept = new Set<number>();
    for (let m = 0; m < 40; m++) {
      await put(H + m * MINUTE, shard(H + m * MINUTE));
      for (const s of samplesOf(await readPacks(db, H + m * MINUTE, H + m * MINUTE + 1))) {
        if (s.num === 4) expect(s).toMatchObject({ details: big, error: "boom" });
        if (s.details) kept.add(s.num);
      }
    }
    expect(kept.size).toBe(20);
    const bare = samplesOf(await readPacks(db, H, H + HOUR, false));
    expect(bare).toHaveLength(800);
    expect(bare.every((s) => s.details === undefined && s.error === undefined)).toBe(true);
    const last = await lastPacked(db, 9, H + 40 * MINUTE);
    expect(last).toMatchObject({ num: 9, at: H + 39 * MINUTE, details: big });
    expect(last!.details_at).toBeLessThanOrEqual(H + 39 * MINUTE);
  });
});

describe("looks", () => {
  it("keep everything of a look, once", async () => {
    const bad = snapshot(H, {
      status: "unhealthy",
      reason: "auth_failed",
      latency_ms: 12.6,
      details: { a: [1] },
      error: "no",
    });
    expect((await lookStatement(db, 5, bad, true).run()).meta.rows_written).toBe(1);
    await lookStatement(db, 5, bad, true).run();
    await look(5, H + 1, { rehearsal: true });
    expect(await readLooks(db, 5, H, H + 1)).toEqual([
      {
        num: 5,
        at: H,
        status: "unhealthy",
        reason: "auth_failed",
        latency_ms: 13,
        maintenance: true,
        rehearsal: false,
        source: "look",
        details: { a: [1] },
        error: "no",
      },
    ]);
    expect((await readLooks(db, 5, H, H + 9)).map((l) => l.rehearsal)).toEqual([false, true]);
  });

  it("are kept as down when nothing answers while an incident is open, else as unknown", async () => {
    await look(5, H, { status: "unknown", reason: "unreachable", latency_ms: null });
    await look(5, H + 1, { status: "unknown", reason: "unreachable", latency_ms: null }, false, true);
    await look(5, H + 2, { status: "unknown", reason: "rate_limited", latency_ms: null }, false, true);
    expect((await readLooks(db, 5, H, H + 9)).map((l) => l.status)).toEqual(["unknown", "unhealthy", "unknown"]);
  });

  it("keep the newest when there are too many", async () => {
    for (let i = 0; i < 6; i++) await look(5, H + i);
    expect((await readLooks(db, 5, H, H + 9, 2)).map((l) => l.at)).toEqual([H + 4, H + 5]);
  });

  it("expire after 14 days, a bounded number at a time", async () => {
    const now = H + RING_MS;
    for (let i = 1; i <= 7; i++) await look((i % 3) + 1, H - i * MINUTE);
    await look(9, H);
    await look(2, H + MINUTE);
    expect(await expireLooks(db, now, 3)).toBe(3);
    expect(await expireHistory(db, now)).toBe(4);
    expect(await expireHistory(db, now)).toBe(0);
    const left = await db.prepare("SELECT num, at FROM watch_look ORDER BY num").all();
    expect(left.results).toEqual([
      { num: 2, at: H + MINUTE },
      { num: 9, at: H },
    ]);
  });
});

describe("the hour", () => {
  it("counts exactly the looks that are stored, rehearsals left out", async () => {
    const shot = fc.record({
      num: fc.integer({ min: 1, max: 5 }),
      minute: fc.integer({ min: -2, max: 61 }),
      status: fc.constantFrom<Status>("healthy", "degraded", "unhealthy", "unknown"),
      latency_ms: fc.option(fc.nat({ max: 5_000 }), { nil: null }),
      maintenance: fc.boolean(),
      how: fc.constantFrom("pack", "look", "rehearsal"),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(shot, { selector: (s) => `${s.num} ${s.minute} ${s.how}`, maxLength: 60 }),
        async (shots) => {
          await db.batch([
            db.prepare("DELETE FROM watch_pack"),
            db.prepare("DELETE FROM watch_look"),
            db.prepare("DELETE FROM watch_rollup"),
          ]);
          const at = (s: { minute: number }) => H + s.minute * MINUTE;
          const more = (s: (typeof shots)[number]) => ({ status: s.status, latency_ms: s.latency_ms });
          const minutes = new Set(shots.filter((s) => s.how === "pack").map((s) => s.minute));
          const statements = [...minutes].map((minute) =>
            packStatement(db, {
              cycleAt: at({ minute }),
              shard: 0,
              samples: shots
                .filter((s) => s.how === "pack" && s.minute === minute)
                .map((s) => seen(s.num, at(s) + 50_000, more(s), s.maintenance)),
            }),
          );
          for (const s of shots)
            if (s.how !== "pack")
              statements.push(
                lookStatement(
                  db,
                  s.num,
                  snapshot(at(s) + (s.how === "look" ? 7 : 9), {
                    ...more(s),
                    ...(s.how === "rehearsal" ? { rehearsal: true } : {}),
                  }),
                  s.maintenance,
                ),
              );
          if (statements.length) await db.batch(statements);
          await rollupHour(db, H, H + 2 * HOUR);
          const [hour] = await readHours(db, H, H + HOUR);
          const mine = shots.filter((s) => s.how !== "rehearsal" && s.minute >= 0 && s.minute < 60);
          expect([...hour!.targets.keys()]).toEqual([...new Set(mine.map((s) => s.num))].sort((a, b) => a - b));
          for (const [num, row] of hour!.targets) {
            const raw = mine.filter((s) => s.num === num);
            for (const state of STATES) expect(row[state]).toBe(raw.filter((s) => stateOf(s) === state).length);
            expect(row.n).toBe(raw.length);
            const known = raw.flatMap((s) => (s.latency_ms === null ? [] : [s.latency_ms])).sort((a, b) => a - b);
            expect(row.max).toBe(known.at(-1) ?? null);
            expect(row.p50).toBe(known[Math.ceil(known.length / 2) - 1] ?? null);
          }
        },
      ),
      { numRuns: 25 },
    );
  });

  it("costs one row, and can be counted again", async () => {
    await target(1, H);
    for (let m = 0; m < 60; m++) await put(H + m * MINUTE, [seen(1, H + m * MINUTE), seen(2, H + m * MINUTE)]);
    const first = await rollupHour(db, H, H + HOUR);
    expect(first).toEqual({ at: H, targets: 2, looks: 120, unreadable: 0, rows_written: 1 });
    const once = await readHours(db, H, H + HOUR);
    await put(H + 5 * MINUTE, [seen(1, H + 5 * MINUTE, { status: "unhealthy" }), seen(2, H + 5 * MINUTE)]);
    expect((await rollupHour(db, H, H + HOUR)).rows_written).toBe(1);
    const twice = await readHours(db, H, H + HOUR);
    expect(once[0]!.targets.get(1)!.bad).toBe(0);
    expect(twice[0]!.targets.get(1)!.bad).toBe(1);
    expect(twice[0]!.targets.get(2)).toEqual(once[0]!.targets.get(2));
    expect((await liveHour(db, H)).targets).toEqual(twice[0]!.targets);
  });

  it("is stored in parts of 5,000 targets, and read as one", async () => {
    for (let shard = 0; shard < 6; shard++)
      await put(
        H,
        Array.from({ length: 1_000 }, (_, i) => seen(shard * 1_000 + i + 1, H)),
        shard,
      );
    expect((await rollupHour(db, H, H + HOUR)).rows_written).toBe(2);
    expect((await readHours(db, H, H + 1))[0]!.targets.size).toBe(6_000);
    const series = await targetSeries(db, 5_500, H - 3 * DAY, H + HOUR);
    expect(series).toMatchObject({ grain: "hour", points: [{ num: 5_500, at: H, n: 1 }] });
    // A part that a recount no longer needs must not stay.
    await db.prepare("DELETE FROM watch_pack WHERE shard >= 3").run();
    await rollupHour(db, H, H + HOUR);
    expect((await readHours(db, H, H + 1))[0]!.targets.size).toBe(3_000);
  });

  it("refuses an hour that is not over, not an hour, or gone", async () => {
    await expect(rollupHour(db, H, H + HOUR - 1)).rejects.toThrow(/not over/);
    await expect(rollupHour(db, H + 1, H + DAY)).rejects.toThrow(/start of an hour/);
    await expect(rollupHour(db, H, H + RING_MS + 1)).rejects.toThrow(/14 days/);
  });
});

describe("catching up", () => {
  it("counts missed hours oldest first, at most 24 a call, then the days, and then rests", async () => {
    const start = Date.UTC(2026, 10, 18, 7);
    await target(1, start + 5 * MINUTE, 3_600);
    for (let h = 0; h < 54; h++)
      await put(start + h * HOUR + 10 * MINUTE, [seen(1, start + h * HOUR + 10 * MINUTE, { latency_ms: h })]);
    const now = start + 54 * HOUR + 9 * MINUTE;
    const first = await rollupDue(db, now);
    expect(first).toMatchObject({ hours: 24, days: 1 });
    expect((await readHours(db, start - DAY, now)).map((h) => h.at)[0]).toBe(start);
    const second = await rollupDue(db, now);
    expect(second).toMatchObject({ hours: 24, days: 1 });
    // The last hour ended 9 min ago: its late shards may still come.
    expect(await rollupDue(db, now)).toMatchObject({ hours: 5, days: 0, left: 0 });
    expect(await rollupDue(db, now)).toMatchObject({ hours: 0, days: 0, left: 0, rows_written: 0 });
    expect(await rollupDue(db, now + MINUTE)).toMatchObject({ hours: 1, left: 0 });
    const hours = await readHours(db, start, now);
    expect(hours).toHaveLength(54);
    expect(hours.every((h) => h.targets.get(1)?.n === 1)).toBe(true);
    const days = await readDays(db, start - 3 * DAY, now);
    expect(
      days.map((d) => [new Date(d.at).toISOString().slice(0, 10), d.targets.get(1)?.n, d.complete, d.exact]),
    ).toEqual([
      ["2026-11-18", 17, true, true],
      ["2026-11-19", 24, true, true],
      ["2026-11-20", 13, false, false],
    ]);
  });

  it("does nothing before there is a target, and counts empty hours once", async () => {
    expect(await rollupDue(db, H)).toMatchObject({ hours: 0, left: 0 });
    await target(1, H);
    expect(await rollupDue(db, H + 3 * HOUR)).toMatchObject({ hours: 2, rows_written: 2 });
    expect(await rollupDue(db, H + 3 * HOUR)).toMatchObject({ hours: 0 });
    expect((await readHours(db, H, H + DAY)).map((h) => h.targets.size)).toEqual([0, 0]);
  });
});

describe("the day", () => {
  const day = Date.UTC(2026, 10, 19);
  const fill = async () => {
    // 23 quiet hours and one slow one: the exact p95 lies between the hours' own.
    const all: number[] = [];
    for (let h = 0; h < 24; h++) {
      for (let m = 0; m < 60; m += 10) {
        const latency = h === 5 || h === 6 ? 1_000 + m : 100 + m + h;
        all.push(latency);
        await put(day + h * HOUR + m * MINUTE, [seen(1, day + h * HOUR + m * MINUTE, { latency_ms: latency })]);
      }
      await rollupHour(db, day + h * HOUR, day + 2 * DAY);
    }
    return all.sort((a, b) => a - b);
  };

  it("has exact counts and quantiles while its looks are kept", async () => {
    const sorted = await fill();
    expect(await rollupDay(db, day)).toMatchObject({ exact: true, targets: 1, looks: 144, rows_written: 1 });
    const [d] = await readDays(db, day, day + DAY);
    expect(d).toMatchObject({ exact: true, complete: true });
    expect(d!.targets.get(1)).toMatchObject({
      n: 144,
      ok: 144,
      p50: sorted[71],
      p95: sorted[Math.ceil(144 * 0.95) - 1],
      max: 1_050,
    });
  });

  it("says so when its quantiles had to be merged from the hours", async () => {
    const sorted = await fill();
    await db
      .prepare("DELETE FROM watch_pack WHERE cycle_at < ?")
      .bind(day + HOUR)
      .run();
    expect(await rollupDay(db, day)).toMatchObject({ exact: false, looks: 144 });
    const [d] = await readDays(db, day, day + DAY);
    expect(d!.exact).toBe(false);
    const row = d!.targets.get(1) as Rollup;
    expect([row.n, row.max]).toEqual([144, 1_050]);
    expect(Math.abs(row.p50! - sorted[71]!)).toBeLessThan(30);
  });

  it("gives one target its days, with today summed from its hours", async () => {
    await fill();
    await rollupDay(db, day);
    await put(day + DAY, [seen(1, day + DAY, { status: "unhealthy" }), seen(2, day + DAY)]);
    await rollupHour(db, day + DAY, day + DAY + HOUR);
    const series = await targetSeries(db, 1, day - 60 * DAY, day + DAY + 2 * HOUR);
    expect(series.grain).toBe("day");
    expect(series.points.map((p) => p.at)).toEqual([day, day + DAY]);
    expect(series.points[1]).toMatchObject({ n: 1, bad: 1 });
  });
});

describe("reads", () => {
  it("give the newest look of each target, from cycles or objects, and no rehearsal", async () => {
    const now = H + 30 * MINUTE;
    await put(now - 20 * MINUTE, [seen(1, now - 20 * MINUTE), seen(2, now - 20 * MINUTE)]);
    await put(now - 10 * MINUTE, [seen(1, now - 10 * MINUTE), seen(3, now - 10 * MINUTE), seen(4, now - 10 * MINUTE)]);
    await put(now - 5 * MINUTE, [seen(3, now - 5 * MINUTE, { latency_ms: 55 })]);
    await look(1, now - 9 * MINUTE, { status: "unhealthy", reason: "service_unhealthy" });
    await look(3, now - 6 * MINUTE, { status: "unhealthy" });
    await look(4, now - 2 * MINUTE, { status: "unhealthy", rehearsal: true });
    const latest = await latestSamples(db, now);
    expect([...latest.keys()].sort()).toEqual([1, 3, 4]);
    expect(latest.get(1)).toMatchObject({ source: "look", status: "unhealthy", at: now - 9 * MINUTE });
    expect(latest.get(3)).toMatchObject({ source: "cycle", latency_ms: 55 });
    expect(latest.get(4)).toMatchObject({ source: "cycle", status: "healthy" });
  });

  it("choose raw looks up to a day, hours up to 30 days, days beyond", async () => {
    for (let m = 0; m < 60; m += 5)
      await put(H + m * MINUTE, [seen(1, H + m * MINUTE + 300), seen(11, H + m * MINUTE)]);
    await look(1, H + 7 * MINUTE, { status: "unhealthy" });
    await look(1, H + 8 * MINUTE, { rehearsal: true });
    await rollupHour(db, H, H + HOUR);
    const raw = await targetSeries(db, 1, H, H + DAY);
    if (raw.grain !== "raw") throw new Error(raw.grain);
    expect(raw.points.slice(0, 4).map((p) => [p.at - H, p.source])).toEqual([
      [300, "cycle"],
      [5 * MINUTE + 300, "cycle"],
      [7 * MINUTE, "look"],
      [10 * MINUTE + 300, "cycle"],
    ]);
    expect(raw.points).toHaveLength(13);
    expect(await targetSeries(db, 1, H - DAY, H + HOUR)).toMatchObject({
      grain: "hour",
      points: [{ at: H, n: 13, bad: 1 }],
    });
    expect((await targetSeries(db, 1, H - 31 * DAY, H + HOUR)).grain).toBe("day");
    expect(await targetSeries(db, 77, H, H + DAY)).toEqual({ grain: "hour", points: [] });
  });

  it("fall back to hours for a day whose looks are gone", async () => {
    await put(H, [seen(1, H)]);
    await rollupHour(db, H, H + HOUR);
    await db.prepare("DELETE FROM watch_pack").run();
    expect(await targetSeries(db, 1, H - HOUR, H + HOUR)).toMatchObject({ grain: "hour", points: [{ at: H, n: 1 }] });
  });

  it("wrap the rings of hours and days", async () => {
    const lap = 9_600 * HOUR;
    const edge = Math.ceil(H / lap) * lap;
    await target(1, edge - 2 * HOUR);
    for (const h of [-2, -1, 0, 1]) {
      await put(edge + h * HOUR, [seen(1, edge + h * HOUR, { latency_ms: 10 + h })]);
      await rollupHour(db, edge + h * HOUR, edge + 3 * HOUR);
    }
    expect((await readHours(db, edge - 2 * HOUR, edge + 2 * HOUR)).map((h) => h.targets.get(1)?.p50)).toEqual([
      8, 9, 10, 11,
    ]);
    expect((await targetSeries(db, 1, edge - 2 * DAY, edge + HOUR)).points.map((p) => p.at)).toEqual(
      [-2, -1, 0].map((h) => edge + h * HOUR),
    );
    expect(await readHours(db, edge - 2 * HOUR + lap, edge + 2 * HOUR + lap)).toEqual([]);
  });
});
