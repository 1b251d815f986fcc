import { loginLink } from "../../lib/api";
import type { LogEvent } from "../../lib/log-event";
import { type Sandbox, type Service, sleep } from "../../lib/sandbox";

/** 1,000 targets that look at a local service, minutes at will, and fourteen days of their past. */

export const TARGETS = 1_000;
const MIN = 60_000;
const DAY = 86_400_000;

/** Shards and cycles as the Workers logged them, with D1's own count of rows written. */
export interface Seen {
  cycles: { tick: number; rows: number; shards: number }[];
  shards: { cycle_at: number; rows: number; at: number }[];
  wakes: string[];
}

export const nothingSeen = (): Seen => ({ cycles: [], shards: [], wakes: [] });

/** Keeps what a log line tells. */
export function note(seen: Seen, e: LogEvent): void {
  if (e.event === "cycle.done")
    seen.cycles.push({ tick: Number(e["tick"]), rows: Number(e["rows"]), shards: Number(e["shards"]) });
  if (e.event === "shard.done")
    seen.shards.push({ cycle_at: Number(e["cycle_at"]), rows: Number(e["rows"]), at: Date.now() });
  if (e.event === "incident.opened") seen.wakes.push(String(e["target"]));
}

export const nameOf = (i: number): string => `bench-${String(i).padStart(4, "0")}`;

export async function addTargets(box: Sandbox, service: Service): Promise<void> {
  for (let i = 0; i < TARGETS; i += 20)
    await Promise.all(
      Array.from({ length: 20 }, (_, k) =>
        box.api.call("POST", "/api/v1/targets", {
          id: nameOf(i + k),
          name: nameOf(i + k),
          kind: "http",
          every: "1m",
          config: { url: `${service.url}/${nameOf(i + k)}` },
        }),
      ),
    );
}

/** Ticks at a minute that never was before, and waits until every shard of it has reported. */
export async function minute(
  box: Sandbox,
  seen: Seen,
  at: number,
  limit = 59_000,
): Promise<{ wall: number; rows: number; lost: number }> {
  const began = Date.now();
  const from = seen.cycles.length;
  await box.rt.tick(at);
  const cycle = seen.cycles[from];
  if (!cycle) throw new Error("The cycle did not run; another one holds its lease.");
  const mine = () => seen.shards.filter((s) => s.cycle_at === cycle.tick);
  while (mine().length < cycle.shards && Date.now() - began < limit) await sleep(10);
  const listeners = await box.rt.d1
    .prepare("SELECT COUNT(*) AS n FROM listener_state WHERE last_run_at >= ?")
    .bind(began)
    .first<number>("n");
  const last = Math.max(began, ...mine().map((s) => s.at));
  return {
    wall: last - began || Date.now() - began,
    rows: cycle.rows + mine().reduce((n, s) => n + s.rows, 0) + (listeners ?? 0),
    lost: cycle.shards - mine().length,
  };
}

let next = 0;
/** A minute that never was before. Reveille ms. */
export const nextMinute = (): number => {
  next = Math.max(next + MIN, Math.ceil(Date.now() / MIN) * MIN);
  return next;
};

/** Fourteen days of packs and their rollups, made inside SQLite from what the product itself wrote a moment ago. */
export async function history(box: Sandbox): Promise<void> {
  const db = box.rt.d1;
  await db
    .prepare("UPDATE target SET created_at = created_at - ?")
    .bind(15 * DAY)
    .run();
  const newest = await db.prepare("SELECT MAX(cycle_at) AS n FROM watch_pack").first<number>("n");
  for (let day = 0; day < 14; day++)
    await db
      .prepare(
        `WITH RECURSIVE step(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM step WHERE i < 1440)
         INSERT OR IGNORE INTO watch_pack (slot, shard, cycle_at, n, data)
         SELECT ((p.cycle_at / 60000) - (i + ?2)) % 20160, p.shard, p.cycle_at - (i + ?2) * 60000, p.n, p.data
         FROM watch_pack p, step WHERE p.cycle_at = ?1`,
      )
      .bind(newest, day * 1440)
      .run();
  // The product counts the hours and days itself, a day's worth a run.
  for (let i = 0; i < 40; i++) {
    await db.prepare("DELETE FROM listener_state WHERE name = 'rollup'").run();
    await box.rt.tick(nextMinute());
    const left = await db.prepare("SELECT note FROM listener_state WHERE name = 'rollup'").first<string | null>("note");
    const hours = await db.prepare("SELECT COUNT(*) AS n FROM watch_rollup WHERE grain = 'h'").first<number>("n");
    if ((hours ?? 0) >= 14 * 24 - 3) return;
    if (left === "never") return;
  }
}

/** The cookie of an operator who has just logged in. */
export async function enter(box: Sandbox): Promise<string> {
  const entered = await fetch(await loginLink(box.api, box.rt.url), { redirect: "manual" });
  return (entered.headers.get("set-cookie") ?? "").split(";")[0]!;
}
