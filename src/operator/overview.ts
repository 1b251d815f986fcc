import { DAY, HOUR } from "../kernel/clock";
import { addTally, emptyTally, expectedMs, type Rollup, type Sample, type Tally, type Uptime, uptime } from "../watch";
import { DAYS, type History } from "./history.cache";
import { STATE_RANK, type State, type StateView, stateOfCounts, stateView } from "./state";
import type { TargetLine } from "./targets.store";

/** The overview from its rows: states, order, filter, and the history of the rows that are shown. Pure. */

export interface OverviewLine {
  line: TargetLine;
  view: StateView;
}

export interface OverviewRow extends OverviewLine {
  latest: Sample | null;
  spark: (number | null)[];
  days: (State | null)[];
  up24: Uptime;
  up30: Uptime;
}

export type Counts = Record<State, number>;

/** What the state of each target is read from beside its row. */
export interface Around {
  now: number;
  confirm: number;
  latest: Map<number, Sample>;
  inMaintenance: (targetId: string) => boolean;
}

export function viewOf(line: TargetLine, a: Around): StateView {
  const latest = a.latest.get(line.num);
  const confirm = line.confirm ?? a.confirm;
  return stateView(
    {
      status: line.status,
      reason: line.reason,
      phase: line.phase,
      paused: line.paused === 1,
      muted: (line.muted_until ?? 0) > a.now,
      maintenance: line.paused === 0 && a.inMaintenance(line.id),
      rehearsal: line.rehearsal === 1,
      bad: line.bad ?? 0,
      // Three looks without an answer confirm, whatever the count for other faults is (kora-watch §3).
      confirm: latest?.reason === "unreachable" ? Math.max(3, confirm) : confirm,
      incident:
        line.incident_id === null
          ? null
          : { acked: line.acked_at !== null, snoozed_until: line.snooze_until, flapping: line.flapping === 1 },
    },
    a.now,
  );
}

/** "service 9" stands before "service 10". */
const NAMES = new Intl.Collator("en", { numeric: true });

/** All targets, worst first, then by name; what is paused stands after what is looked at. */
export function sortLines(lines: TargetLine[], around: Around): OverviewLine[] {
  const rank = (x: OverviewLine): number =>
    STATE_RANK[x.view.state] * 4 + (x.line.paused ? 3 : x.view.modifiers.includes("acked") ? 1 : 0);
  return lines
    .map((line) => ({ line, view: viewOf(line, around) }))
    .sort((x, y) => rank(x) - rank(y) || NAMES.compare(x.line.name, y.line.name));
}

export function countStates(lines: OverviewLine[]): Counts {
  const counts: Counts = { ok: 0, degraded: 0, down: 0, unknown: 0, maintenance: 0 };
  for (const { view } of lines) counts[view.state]++;
  return counts;
}

/** Lines of one state, or whose name, id or kind holds a text. */
export function filterLines(lines: OverviewLine[], state: State | null, text: string): OverviewLine[] {
  const needle = text.trim().toLowerCase();
  return lines.filter(
    ({ line, view }) =>
      (state === null || view.state === state) &&
      (needle === "" || `${line.name} ${line.id} ${line.kind}`.toLowerCase().includes(needle)),
  );
}

/** Sums the rollups of one target that start in [from, to). */
function sum(num: number, rows: Iterable<{ at: number; targets: Map<number, Rollup> }>, from: number): Tally {
  const tally = emptyTally();
  for (const row of rows) {
    const found = row.at >= from ? row.targets.get(num) : undefined;
    if (found) addTally(tally, found);
  }
  return tally;
}

/** Adds its history to a line. Only the rows of the page asked for need it. */
export function withHistory(x: OverviewLine, h: History, a: Around): OverviewRow {
  const { num, every_s, created_at } = x.line;
  const running = Math.floor(a.now / HOUR) * HOUR;
  const byStart = new Map(h.hours.map((hour) => [hour.at, hour.targets.get(num)]));
  const spark = Array.from({ length: 48 }, (_, i) => {
    const at = running - 23 * HOUR + Math.floor(i / 2) * HOUR;
    return byStart.get(at)?.half[i % 2 === 0 ? 0 : 1] ?? null;
  });
  const today = sum(num, h.hours, h.today);
  const month = { ...today, ms: { ...today.ms } };
  const days = Array.from({ length: DAYS }, (_, i): State | null => {
    const at = h.today - (DAYS - 1 - i) * DAY;
    if (at === h.today) return stateOfCounts(today);
    const day = h.days.get(at)?.targets.get(num);
    if (!day) return null;
    addTally(month, day);
    return stateOfCounts(day);
  });
  const seenFor = (span: number): number => expectedMs(Math.max(0, Math.min(span, a.now - created_at)), every_s);
  return {
    ...x,
    latest: a.latest.get(num) ?? null,
    spark,
    days,
    up24: uptime(sum(num, h.hours, 0), seenFor(23 * HOUR + (a.now - running))),
    up30: uptime(month, seenFor((DAYS - 1) * DAY + (a.now - h.today))),
  };
}
