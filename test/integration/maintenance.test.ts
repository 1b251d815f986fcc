import { env } from "cloudflare:workers";
import { beforeEach, describe, expect, it } from "vitest";
import { activeAt, type NewWindow } from "../../src/watch/maintenance";
import {
  createWindow,
  EXTEND_BY,
  endWindow,
  extendWindow,
  listWindows,
  MAX_LIVE,
  readLiveWindows,
  reopenWindow,
} from "../../src/watch/maintenance.store";

/** Proves that windows are kept, ended, extended and bounded on real D1. What a window silences is proved by the unit tests. */

const db = env.DB;
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const NOW = Date.UTC(2026, 10, 20, 13);

const once = (more: Partial<NewWindow> = {}): NewWindow => ({
  targets: ["a"],
  starts_at: NOW,
  ends_at: NOW + HOUR,
  cron: null,
  duration_s: null,
  zone: "UTC",
  reason: "move",
  ...more,
});
const hourly = once({ starts_at: null, ends_at: null, cron: "0 * * * *", duration_s: 600 });

beforeEach(() => db.prepare("DELETE FROM maintenance").run());

describe("maintenance windows", () => {
  it("are kept whole and live until they are over", async () => {
    const made = await createWindow(db, once({ targets: ["a", "b"] }), "ana", NOW - 1);
    expect(made).toMatchObject({ targets: ["a", "b"], created_by: "ana", created_at: NOW - 1, ended_at: null });
    expect(await listWindows(db)).toEqual([made]);
    expect(await readLiveWindows(db, NOW + HOUR - 1)).toEqual([made]);
    expect(await readLiveWindows(db, NOW + HOUR)).toEqual([]);
    expect(activeAt(await readLiveWindows(db, NOW), "b", NOW)?.id).toBe(made.id);
  });

  it("are refused when over already, and beyond the limit", async () => {
    await expect(createWindow(db, once(), "ana", NOW + HOUR)).rejects.toMatchObject({
      status: 400,
      code: "window_over",
    });
    for (let i = 0; i < MAX_LIVE; i += 50)
      await Promise.all(Array.from({ length: 50 }, (_, k) => createWindow(db, once(), "ana", NOW + i + k)));
    const tries = await Promise.allSettled([1, 2, 3].map(() => createWindow(db, hourly, "ana", NOW)));
    expect(tries.map((t) => t.status)).toEqual(["rejected", "rejected", "rejected"]);
    expect((tries[0] as PromiseRejectedResult).reason).toMatchObject({ status: 409, code: "too_many_windows" });
    // Those that are over make room.
    expect((await createWindow(db, hourly, "ana", NOW + HOUR)).cron).toBe("0 * * * *");
  });

  it("end once, and can be reopened", async () => {
    const { id } = await createWindow(db, hourly, "ana", NOW);
    expect((await endWindow(db, id, NOW + 5)).ended_at).toBe(NOW + 5);
    expect((await endWindow(db, id, NOW + 9)).ended_at).toBe(NOW + 5);
    expect(await readLiveWindows(db, NOW + 5)).toEqual([]);
    expect((await reopenWindow(db, id)).ended_at).toBeNull();
    expect(await readLiveWindows(db, NOW + 5)).toHaveLength(1);
    await expect(endWindow(db, "01NOPE", NOW)).rejects.toMatchObject({ status: 404 });
  });

  it("extend in place, or after the running occurrence of a recurring one", async () => {
    const one = await createWindow(db, once(), "ana", NOW);
    expect((await extendWindow(db, one.id, "bo", NOW + MINUTE)).ends_at).toBe(NOW + HOUR + EXTEND_BY);
    await expect(extendWindow(db, one.id, "bo", NOW + HOUR + EXTEND_BY)).rejects.toMatchObject({ code: "window_over" });
    await expect(extendWindow(db, one.id, "bo", NOW, 30 * 24 * HOUR)).rejects.toMatchObject({ code: "too_long" });

    const many = await createWindow(db, hourly, "ana", NOW);
    const more = await extendWindow(db, many.id, "bo", NOW + 5 * MINUTE);
    expect(more).toMatchObject({
      starts_at: NOW + 10 * MINUTE,
      ends_at: NOW + 40 * MINUTE,
      cron: null,
      created_by: "bo",
      targets: ["a"],
    });
    expect(more.id).not.toBe(many.id);
    await expect(extendWindow(db, many.id, "bo", NOW + 30 * MINUTE)).rejects.toMatchObject({ code: "not_under_way" });
    await endWindow(db, many.id, NOW + 6 * MINUTE);
    await expect(extendWindow(db, many.id, "bo", NOW + 7 * MINUTE)).rejects.toMatchObject({ code: "window_over" });
  });
});
