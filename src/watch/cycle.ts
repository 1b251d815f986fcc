import * as z from "zod";
import { MINUTE, SECOND } from "../kernel/clock";
import { commit } from "../kernel/d1";
import { describe } from "../kernel/errors";
import type { Runtime } from "../kernel/runtime";
import { dueTargets, isNews, overdue, SHARD_SIZE, shards } from "./due";
import { CLOCK_BACK, fresh, type Machine, step } from "./incident";
import { activeAt } from "./maintenance";
import { readLiveWindows } from "./maintenance.store";
import { policyOf } from "./policy";
import { packStatement } from "./sample.store";
import { type Looked, runShard } from "./shard";
import { readDueRows, readStates, readTargetsByNum, saveFirstLooks } from "./target.store";
import type { Snapshot } from "./types";
import { readCycle } from "./watcher";

/** A second cycle is refused while one holds the lease; a dead one's lease ends before the next tick but one. */
const LEASE = 58 * SECOND;
/** An object's own look may be this late before the cycle sets its alarm again. */
const OVERDUE = 2 * MINUTE;

export interface CycleDeps {
  db: D1Database;
  runtime: Runtime;
  /** Hands one shard to queue `probe`. */
  sendShards(messages: { cycle_at: number; shard: number; nums: number[] }[]): Promise<void>;
  observe(targetId: string, snapshot: Snapshot): Promise<unknown>;
  rearm(targetId: string): Promise<unknown>;
}

export interface CycleResult {
  ran: boolean;
  due: number;
  shards: number;
  rows: number;
  news: number;
  ms: number;
  /** Shards of the cycle before that never reported. */
  lost_shards: number;
}

/**
 * One tick of the watch (design §4.3): takes the lease, picks what is due since the last tick that was done, looks in place or
 * hands out shards. Duplicate and overlapping ticks do nothing; what a tick that died left undone is due again in the next.
 * `tickAt` is Reveille time, ms.
 */
export async function runCycle(deps: CycleDeps, tickAt: number): Promise<CycleResult> {
  const { db, runtime } = deps;
  const { clock, log } = runtime;
  const started = clock.wall();
  const tick = Math.floor(tickAt / MINUTE) * MINUTE;
  const before = await readCycle(db);
  const none: CycleResult = { ran: false, due: 0, shards: 0, rows: 0, news: 0, ms: 0, lost_shards: 0 };
  const now = clock.now();
  // A last tick or a lease this far ahead is of a clock that was set back: waiting for it would be blindness.
  const wasSetBack = before !== null && before.tick_at > tick + CLOCK_BACK;
  const isHeld = before !== null && before.lease_until > now && before.lease_until <= now + LEASE;
  if (!before || (before.tick_at >= tick && !wasSetBack) || isHeld) {
    log("warn", "cycle.skipped", {
      tick,
      last_tick: before?.tick_at ?? null,
      lease_until: before?.lease_until ?? null,
    });
    return none;
  }
  // The tick itself is written at the end: one that dies on the way must not count as done.
  const until = now + LEASE;
  const lease = await db
    .prepare("UPDATE cycle SET lease_until = ? WHERE id = 1 AND tick_at = ? AND lease_until = ?")
    .bind(until, before.tick_at, before.lease_until)
    .run();
  if (lease.meta.changes === 0) return none;

  const rows = await readDueRows(db);
  const due = dueTargets(rows, wasSetBack ? 0 : before.tick_at, tick);
  // All at once: one object that hangs must not keep the looks of everything else waiting.
  const rearmed = Promise.all(
    overdue(rows, now, OVERDUE).map((lost) =>
      deps.rearm(lost.id).catch((e) => log("error", "cycle.rearm_failed", { target: lost.id, error: describe(e) })),
    ),
  );

  let written = lease.meta.rows_written ?? 0;
  let news = 0;
  const parts = shards(due.map((r) => r.num));
  if (due.length <= SHARD_SIZE) {
    const done = await lookAndPack(deps, tick, 0, parts[0] ?? []);
    written += done.rows;
    news = done.news;
  } else {
    const messages = parts.map((nums, shard) => ({ cycle_at: tick, shard, nums }));
    for (let i = 0; i < messages.length; i += 100) await deps.sendShards(messages.slice(i, i + 100));
  }
  await rearmed;
  const lost_shards = await lostShards(db, before.tick_at, before.shards);
  const inPlace = due.length <= SHARD_SIZE;
  const ms = clock.wall() - started;
  const end = await db
    .prepare(
      `UPDATE cycle SET tick_at = ?1, lease_until = CASE lease_until WHEN ?2 THEN 0 ELSE lease_until END, finished_at = ?3,
         due = ?4, shards = ?5, ms = ?6, rows_written = ?7 WHERE id = 1 AND (tick_at < ?1 OR tick_at = ?8)`,
    )
    .bind(tick, until, clock.now(), due.length, inPlace ? 0 : parts.length, ms, written + 1, before.tick_at)
    .run();
  written += end.meta.rows_written ?? 0;
  const result = {
    ran: true,
    due: due.length,
    shards: inPlace ? 0 : parts.length,
    rows: written,
    news,
    ms,
    lost_shards,
  };
  log("info", "cycle.done", { tick, ...result });
  return result;
}

/** How many shards of the cycle at `tick` left no pack, or 0 when it was done in place. */
async function lostShards(db: D1Database, tick: number, expected: number): Promise<number> {
  if (expected === 0) return 0;
  const row = await db
    .prepare("SELECT COUNT(*) AS n FROM watch_pack WHERE slot = ? AND cycle_at = ?")
    .bind(Math.floor(tick / MINUTE) % 20_160, tick)
    .first<{ n: number }>();
  return Math.max(0, expected - (row?.n ?? 0));
}

/** One message of queue `probe`: what `sendShards` hands over. */
export const shardMessage = z.object({
  cycle_at: z.int(),
  shard: z.int().min(0),
  nums: z.array(z.int()).max(SHARD_SIZE),
});

/** A shard message that waited this long is dropped: its look would be filed under a minute long past. */
export const SHARD_TOO_OLD = 5 * MINUTE;

/** Looks at one shard, writes its one pack, and calls the objects of targets that have news. */
export async function lookAndPack(
  deps: CycleDeps,
  cycleAt: number,
  shard: number,
  nums: number[],
): Promise<{ rows: number; news: number }> {
  if (nums.length === 0) return { rows: 0, news: 0 };
  const { db, runtime } = deps;
  const targets = await readTargetsByNum(db, nums);
  const [states, windows] = await Promise.all([
    readStates(
      db,
      targets.map((t) => t.id),
    ),
    readLiveWindows(db, runtime.clock.now()),
  ]);
  const steady = targets.filter((t) => !t.paused && states.get(t.id)?.phase === "steady");
  const isPlanned = (l: Looked): boolean => activeAt(windows, l.target.id, l.snapshot.at) !== null;
  const isFirst = (l: Looked): boolean =>
    states.get(l.target.id)?.version === 0 && l.snapshot.status === "healthy" && !isPlanned(l);
  let news = 0;
  const looked = await runShard(steady, runtime, db, async (l) => {
    if (isFirst(l) || !isNews(states.get(l.target.id)!, l.snapshot, isPlanned(l))) return;
    news++;
    await deps.observe(l.target.id, l.snapshot).catch((error) =>
      // The next look differs from the stored state again, so nothing is lost but one interval.
      runtime.log("error", "cycle.observe_failed", { target: l.target.id, error: describe(error) }),
    );
  });
  const samples = looked.map((l) => ({ num: l.target.num, snapshot: l.snapshot, maintenance: isPlanned(l) }));
  const { rows } = await commit(db, [
    packStatement(db, { cycleAt, shard, samples }),
    ...firstLooks(deps, looked.filter(isFirst)),
  ]);
  return { rows, news };
}

function firstLooks({ db, runtime }: CycleDeps, looked: Looked[]): D1PreparedStatement[] {
  if (looked.length === 0) return [];
  const machines = looked.map(({ target, snapshot }): { id: string; machine: Machine } => {
    const look = { type: "look", snapshot, severity: "info", maintenance: false, new_id: "" } as const;
    return { id: target.id, machine: step(fresh(target.created_at), look, policyOf(target, runtime.config)).machine };
  });
  return [saveFirstLooks(db, machines)];
}
