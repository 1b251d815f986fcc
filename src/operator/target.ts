import { DAY, HOUR } from "../kernel/clock";
import { day, duration, NOTHING, percent } from "../kernel/format";
import {
  addTally,
  emptyTally,
  expectedMs,
  lastPacked,
  mergeRollups,
  type Rollup,
  readLooks,
  rollupTarget,
  type Sample,
  type Tally,
  targetSeries,
  type Uptime,
  uptime,
} from "../watch";
import { DAYS } from "./history.cache";
import { type State, stateOfCounts } from "./state";

/** What one target's page reads of its history: 30 days and 24 hours of one target, cut out of the rows by SQLite. */

export interface TargetHistory {
  days: (State | null)[];
  titles: string[];
  up24: Uptime;
  up30: Uptime;
  from: number;
}

/** "12 Nov: down 4 min 10 s, 99.71 %". */
function dayTitle(at: number, t: Tally | undefined): string {
  const state = t ? stateOfCounts(t) : null;
  const name = day(at);
  if (!t || state === null) return `${name}: nobody looked`;
  const up = uptime(t);
  const share = up.percent === null ? NOTHING : percent(up.percent, 100);
  if (state === "down") return `${name}: down ${duration(t.ms.bad)}, ${share}`;
  if (state === "degraded") return `${name}: degraded ${duration(t.ms.degraded)}, ${share}`;
  return state === "ok" ? `${name}: OK, ${share}` : `${name}: ${state}`;
}

/** Bars and uptime of one target over 30 days up to now. */
export async function readTargetHistory(
  db: D1Database,
  t: { num: number; every_s: number; created_at: number },
  now: number,
): Promise<TargetHistory> {
  const today = Math.floor(now / DAY) * DAY;
  const from = today - (DAYS - 1) * DAY;
  const hour = Math.floor(now / HOUR) * HOUR;
  // A span over 30 days is read by day; today is summed from its counted hours.
  const [days, hours, raw] = await Promise.all([
    targetSeries(db, t.num, from - DAY, now),
    targetSeries(db, t.num, hour - 25 * HOUR, now),
    targetSeries(db, t.num, hour - HOUR, now + 1),
  ]);
  const counted = hours.grain === "hour" ? hours.points.filter((p) => p.at >= hour - 23 * HOUR) : [];
  const looks = raw.grain === "raw" ? raw.points : [];
  // The running hour, and the one before until it is counted (ten minutes after its end), are counted here.
  const live = [hour - HOUR, hour]
    .filter((at) => !counted.some((p) => p.at === at))
    .map((at) => ({
      at,
      ...rollupTarget(
        t.num,
        looks.filter((s) => s.at >= at && s.at < at + HOUR),
        at,
        t,
      ),
    }))
    .filter((r) => r.n > 0);
  // A look of the running hour stands for the time up to now, not up to its end.
  for (const r of live) if (r.at === hour) trim(r.ms, now - hour);

  const byDay = new Map<number, Rollup>(days.grain === "day" ? days.points.map((p) => [p.at, p]) : []);
  for (const r of live) {
    const at = Math.floor(r.at / DAY) * DAY;
    const known = byDay.get(at);
    byDay.set(at, known ? mergeRollups(t.num, [known, r]) : r);
  }
  const month = emptyTally();
  const states: (State | null)[] = [];
  const titles: string[] = [];
  for (let at = from; at <= today; at += DAY) {
    const found = byDay.get(at);
    if (found) addTally(month, found);
    states.push(found ? stateOfCounts(found) : null);
    titles.push(dayTitle(at, found));
  }
  const recent = emptyTally();
  for (const p of [...counted, ...live]) addTally(recent, p);
  const span = (start: number): number => expectedMs(Math.max(0, now - Math.max(start, t.created_at)), t.every_s);
  return { days: states, titles, up24: uptime(recent, span(hour - 23 * HOUR)), up30: uptime(month, span(from)), from };
}

/** Scales times down so that their sum is at most `most` ms. */
function trim(ms: Tally["ms"], most: number): void {
  const sum = Object.values(ms).reduce((a, b) => a + b, 0);
  if (sum <= most) return;
  for (const key of Object.keys(ms) as (keyof Tally["ms"])[]) ms[key] = (ms[key] * most) / sum;
}

/** The newest look at a target: of the cycle or of its object, whichever is later. */
export async function readLastLook(
  db: D1Database,
  num: number,
  now: number,
): Promise<(Sample & { details_at: number | null; rehearsal: boolean }) | null> {
  const [packed, looks] = await Promise.all([lastPacked(db, num, now), readLooks(db, num, now - 14 * DAY, now + 1, 1)]);
  const look = looks.at(-1);
  if (look && (!packed || look.at >= packed.at)) return { ...look, details_at: look.details ? look.at : null };
  return packed ? { ...packed, rehearsal: false } : null;
}
