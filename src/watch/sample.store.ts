import { DAY, MINUTE } from "../kernel/clock";
import { utf8 } from "../kernel/crypto";
import { all } from "../kernel/d1";
import { hash32 } from "../kernel/ids";
import { decodePack, decodeSample, encodePack, needleOf, type PackSample, RING, slotOf } from "./pack";
import type { Json, Reason, Snapshot, Status } from "./types";

/** One look as the history keeps it. `status` is what the probe saw; the pages draw `maintenance` over it. */
export interface Sample {
  num: number;
  /** When the look began, ms. */
  at: number;
  status: Status;
  reason: Reason;
  latency_ms: number | null;
  maintenance: boolean;
  /** `cycle`: from a pack; `look`: made by the target's object. */
  source: "cycle" | "look";
  details?: Record<string, Json>;
  error?: string;
}

/** One look of a cycle, as the shard hands it over. */
export interface ShardSample {
  num: number;
  snapshot: Snapshot;
  maintenance: boolean;
}

/**
 * Details of healthy looks share this much of a pack, bytes: kept whole they would be 4 GB in the ring for 1,000 targets a
 * minute. The rest of the pack goes round, so each target's details are refreshed every few looks.
 */
const HEALTHY_DETAILS = 4_096;

function toPackSamples(cycleAt: number, samples: ShardSample[]): PackSample[] {
  const start = samples.length === 0 ? 0 : hash32(String(slotOf(cycleAt))) % samples.length;
  let room = HEALTHY_DETAILS;
  return [...samples.slice(start), ...samples.slice(0, start)].map(({ num, snapshot: s, maintenance }) => {
    const out: PackSample = {
      num,
      status: s.status,
      reason: s.reason,
      maintenance,
      latency_ms: s.latency_ms,
      offset_ms: s.at - cycleAt,
    };
    if (s.error !== null) out.error = s.error;
    if (Object.keys(s.details).length === 0) return out;
    if (s.status !== "healthy") return { ...out, details: s.details };
    const size = utf8(JSON.stringify(s.details)).length;
    if (size > room) return out;
    room -= size;
    return { ...out, details: s.details };
  });
}

/**
 * The one row of one shard of one cycle: an upsert on the ring, one row written. A repeated shard replaces itself; a late one
 * never replaces a newer cycle. Snapshots must be redacted. @throws RangeError when the shard is too large for a pack.
 */
export function packStatement(
  db: D1Database,
  pack: { cycleAt: number; shard: number; samples: ShardSample[] },
): D1PreparedStatement {
  const { text } = encodePack(toPackSamples(pack.cycleAt, pack.samples));
  return db
    .prepare(
      `INSERT INTO watch_pack (slot, shard, cycle_at, n, data) VALUES (?, ?, ?, ?, ?)
       ON CONFLICT (slot, shard) DO UPDATE SET cycle_at = excluded.cycle_at, n = excluded.n, data = excluded.data
       WHERE excluded.cycle_at >= watch_pack.cycle_at`,
    )
    .bind(slotOf(pack.cycleAt), pack.shard, pack.cycleAt, pack.samples.length, text);
}

/** One or two ranges of slots that cover [from, to); `slots` is the size of the ring, `slot` the place of a time in it. */
export function slotRanges(from: number, to: number, step: number, slots: number): [number, number][] {
  if (to <= from) return [];
  const first = Math.floor(from / step);
  const last = Math.floor((to - 1) / step);
  if (last - first + 1 >= slots) return [[0, slots - 1]];
  const a = first % slots;
  const b = last % slots;
  return a <= b
    ? [[a, b]]
    : [
        [a, slots - 1],
        [0, b],
      ];
}

const inSlots = (ranges: [number, number][]): string => ranges.map(() => "slot BETWEEN ? AND ?").join(" OR ");

/** A pack as read back, with how many rows could not be read (damaged, or of a later version). */
export interface ReadPacks {
  packs: { cycle_at: number; shard: number; samples: PackSample[]; dropped: { details: number; errors: number } }[];
  unreadable: number;
}

/**
 * Packs of cycles in [from, to), oldest first; rows of an earlier lap of the ring are left out. `extras: false` leaves
 * details and errors in the database. Ask for at most an hour or so at 1,000 targets: everything is held in memory.
 */
export async function readPacks(db: D1Database, from: number, to: number, extras = true): Promise<ReadPacks> {
  const ranges = slotRanges(from, to, MINUTE, RING);
  if (ranges.length === 0) return { packs: [], unreadable: 0 };
  const data = extras
    ? "data"
    : "CASE instr(data, char(10) || '[') WHEN 0 THEN data ELSE substr(data, 1, instr(data, char(10) || '[') - 1) END AS data";
  const rows = await all<{ cycle_at: number; shard: number; data: string }>(
    db
      .prepare(
        `SELECT cycle_at, shard, ${data} FROM watch_pack
         WHERE (${inSlots(ranges)}) AND cycle_at >= ? AND cycle_at < ? ORDER BY cycle_at, shard`,
      )
      .bind(...ranges.flat(), from, to),
  );
  const out: ReadPacks = { packs: [], unreadable: 0 };
  for (const row of rows) {
    const pack = decodePack(row.data);
    if (pack) out.packs.push({ cycle_at: row.cycle_at, shard: row.shard, ...pack });
    else out.unreadable++;
  }
  return out;
}

const asSample = (cycle_at: number, s: PackSample): Sample => {
  const { offset_ms, ...rest } = s;
  return { ...rest, at: cycle_at + offset_ms, source: "cycle" };
};

/** The samples of packs, with their times. */
export const samplesOf = (read: ReadPacks): Sample[] =>
  read.packs.flatMap((p) => p.samples.map((s) => asSample(p.cycle_at, s)));

/** One target's packed samples of cycles in [from, to), oldest first: SQLite cuts them out, the packs stay where they are. */
export async function readPackedOf(db: D1Database, num: number, from: number, to: number): Promise<Sample[]> {
  const ranges = slotRanges(from, to, MINUTE, RING);
  if (ranges.length === 0) return [];
  const rows = await all<{ cycle_at: number; data: string }>(
    db
      .prepare(
        `SELECT cycle_at, substr(data, instr(data, ?), 48) AS data FROM watch_pack
         WHERE (${inSlots(ranges)}) AND cycle_at >= ? AND cycle_at < ? AND instr(data, ?) > 0 ORDER BY cycle_at`,
      )
      .bind(needleOf(num), ...ranges.flat(), from, to, needleOf(num)),
  );
  return rows.flatMap((row) => {
    const sample = decodeSample(row.data);
    return sample ? [asSample(row.cycle_at, sample)] : [];
  });
}

/**
 * The newest packed look at a target within `back` ms, with the newest details within a day that a pack kept of it, or null.
 * `details_at` is when those details were seen.
 */
export async function lastPacked(
  db: D1Database,
  num: number,
  now: number,
  back = DAY,
): Promise<(Sample & { details_at: number | null }) | null> {
  const read = async (needle: string, limit: number): Promise<{ cycle_at: number; data: string }[]> => {
    const found: { cycle_at: number; data: string }[] = [];
    // Newest slots first, each range on its own, so that the scan stops at the first hit.
    for (const [a, b] of slotRanges(now - back, now + 1, MINUTE, RING).reverse()) {
      if (found.length >= limit) break;
      const statement = db
        .prepare(
          `SELECT cycle_at, data FROM watch_pack WHERE slot BETWEEN ? AND ? AND cycle_at > ? AND cycle_at <= ?
             AND instr(data, ?) > 0 ORDER BY slot DESC LIMIT ?`,
        )
        .bind(a, b, now - back, now, needle, limit - found.length);
      found.push(...(await all<{ cycle_at: number; data: string }>(statement)));
    }
    return found;
  };
  const pick = (rows: { cycle_at: number; data: string }[]): Sample[] =>
    rows.flatMap((row) => {
      const sample = decodePack(row.data)?.samples.find((s) => s.num === num);
      return sample ? [asSample(row.cycle_at, sample)] : [];
    });
  const newest = pick(await read(needleOf(num), 1))[0];
  if (!newest) return null;
  if (newest.details) return { ...newest, details_at: newest.at };
  // "[12," may also stand inside some target's details; of the few newest packs that hold it, one is ours or none is.
  const kept = pick(await read(`[${num},`, 4)).find((s) => s.details);
  return kept?.details ? { ...newest, details: kept.details, details_at: kept.at } : { ...newest, details_at: null };
}

export { lookStatement, readLooks } from "./look.store";
