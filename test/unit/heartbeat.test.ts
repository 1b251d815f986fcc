import { describe, expect, it } from "vitest";
import type { Beat } from "../../src/watch/heartbeat.store";
import { dueAfter, judgeBeat } from "../../src/watch/probes/heartbeat.probe";
import { heartbeatConfig } from "../../src/watch/target.config";

/** Proves when a heartbeat is late, failed, hanging or fine; all by times alone. */

const MIN = 60_000;
const HOUR = 60 * MIN;
const T0 = Date.UTC(2026, 10, 1, 12, 0, 0);
const daily = heartbeatConfig.parse({ period: "1d", grace: "10m" });
const beat = (over: Partial<Beat>): Beat => ({
  last_at: T0,
  last_kind: "success",
  started_at: null,
  ok_at: T0,
  duration_ms: null,
  note: null,
  ...over,
});

describe("by period", () => {
  it("never beaten: unknown until period and grace have passed since creation, then missed", () => {
    expect(judgeBeat(daily, null, T0, T0 + HOUR)).toMatchObject({
      status: "unknown",
      reason: "no_beat_yet",
      details: { next_due: "2026-11-02T12:00:00.000Z" },
    });
    expect(judgeBeat(daily, null, T0, T0 + 24 * HOUR + 10 * MIN)).toMatchObject({
      status: "unknown",
      reason: "no_beat_yet",
    });
    expect(judgeBeat(daily, null, T0, T0 + 24 * HOUR + 10 * MIN + 1)).toMatchObject({
      status: "unhealthy",
      reason: "missed_beat",
      signal: "never_beaten",
    });
  });
  it("fine until due plus grace, late after", () => {
    expect(judgeBeat(daily, beat({}), 0, T0 + 24 * HOUR + 10 * MIN)).toMatchObject({
      status: "healthy",
      reason: "ok",
      latency_ms: null,
    });
    expect(judgeBeat(daily, beat({}), 0, T0 + 24 * HOUR + 10 * MIN + 1)).toMatchObject({
      status: "unhealthy",
      reason: "missed_beat",
      signal: "late",
    });
  });
  it("a failure is a failure at once, and stays one while the next run goes on", () => {
    expect(judgeBeat(daily, beat({ last_kind: "fail" }), 0, T0 + 1)).toMatchObject({
      status: "unhealthy",
      reason: "job_failed",
    });
    expect(judgeBeat(daily, beat({ last_kind: "fail", started_at: T0 + MIN }), 0, T0 + 2 * MIN)).toMatchObject({
      reason: "job_failed",
    });
  });
  it("started and not finished beyond max_runtime", () => {
    const limited = heartbeatConfig.parse({ period: "1d", grace: "10m", max_runtime: "1h" });
    const running = beat({ last_kind: "start", started_at: T0 + 24 * HOUR });
    expect(judgeBeat(limited, running, 0, T0 + 25 * HOUR)).toMatchObject({ status: "healthy" });
    expect(judgeBeat(limited, running, 0, T0 + 25 * HOUR + 1)).toMatchObject({
      status: "unhealthy",
      reason: "missed_beat",
      signal: "still_running",
    });
  });
  it("a run that began in time is not late while it may still run; one that began too late is", () => {
    const limited = heartbeatConfig.parse({ period: "1d", grace: "10m", max_runtime: "3h" });
    const now = T0 + 26 * HOUR;
    expect(
      judgeBeat(limited, beat({ last_kind: "start", started_at: T0 + 24 * HOUR + 5 * MIN }), 0, now),
    ).toMatchObject({ status: "healthy" });
    expect(judgeBeat(limited, beat({ last_kind: "start", started_at: T0 + 25 * HOUR }), 0, now)).toMatchObject({
      signal: "late",
    });
  });
  it("a first run that only started says so and is not healthy", () => {
    const first = beat({ last_kind: "start", started_at: T0, ok_at: null });
    expect(judgeBeat(daily, first, T0, T0 + MIN)).toMatchObject({ status: "unknown", reason: "no_beat_yet" });
  });
});

describe("by cron", () => {
  const nightly = heartbeatConfig.parse({ cron: "0 3 * * *", zone: "Europe/Berlin", grace: "15m" });
  it("is due at the next time of the zone, across the end of summer time", () => {
    // 24 Oct 2026 03:10 CEST → 25 Oct 03:00 CET is 02:00 UTC.
    expect(new Date(dueAfter(nightly, Date.UTC(2026, 9, 24, 1, 10))).toISOString()).toBe("2026-10-25T02:00:00.000Z");
  });
  it("fine within the grace, late after it", () => {
    const ok = beat({ ok_at: Date.UTC(2026, 10, 1, 2, 5) });
    expect(judgeBeat(nightly, ok, 0, Date.UTC(2026, 10, 2, 2, 15))).toMatchObject({
      status: "healthy",
      details: { next_due: "2026-11-02T02:00:00.000Z" },
    });
    expect(judgeBeat(nightly, ok, 0, Date.UTC(2026, 10, 2, 2, 15, 0, 1))).toMatchObject({ reason: "missed_beat" });
  });
  it("a beat half a minute early counts for its time", () => {
    expect(new Date(dueAfter(nightly, Date.UTC(2026, 10, 2, 1, 59, 30))).toISOString()).toBe(
      "2026-11-03T02:00:00.000Z",
    );
    const minutely = heartbeatConfig.parse({ cron: "* * * * *" });
    expect(dueAfter(minutely, T0 + 20_000) - T0).toBe(MIN);
    expect(dueAfter(minutely, T0 + 55_000) - T0).toBe(2 * MIN);
  });
  it("never beaten: waits for the first time after creation", () => {
    const created = Date.UTC(2026, 10, 1, 20, 0);
    expect(judgeBeat(nightly, null, created, Date.UTC(2026, 10, 2, 2, 10))).toMatchObject({ reason: "no_beat_yet" });
    expect(judgeBeat(nightly, null, created, Date.UTC(2026, 10, 2, 2, 16))).toMatchObject({
      reason: "missed_beat",
      signal: "never_beaten",
    });
  });
});
