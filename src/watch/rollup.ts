import { HOUR } from "../kernel/clock";
import type { Status } from "./types";

/** How the history counts a look: `ok` and `degraded` are up, `bad` is down, the other two are neither. */
export const STATES = ["ok", "degraded", "bad", "unknown", "maintenance"] as const;
export type State = (typeof STATES)[number];

/** Looks by state, and the time they stand for, ms. `n` is their sum. */
export interface Tally extends Record<State, number> {
  n: number;
  ms: Record<State, number>;
}

/** One target over one hour or day. Quantiles are ms over every look that has a latency, null when none has. */
export interface Rollup extends Tally {
  num: number;
  p50: number | null;
  p95: number | null;
  max: number | null;
  /** p50 of each half of an hour (the sparkline draws 48 half-hours); nulls for a day. */
  half: [number | null, number | null];
}

/** What a rollup needs of one look. */
export interface Counted {
  num: number;
  at: number;
  status: Status;
  maintenance: boolean;
  latency_ms: number | null;
}

/** How often a target is looked at and since when: bounds the time one look may stand for. */
export interface Pace {
  every_s: number;
  created_at: number;
}

const OF: Record<Status, State> = { healthy: "ok", degraded: "degraded", unhealthy: "bad", unknown: "unknown" };
export const stateOf = (s: Pick<Counted, "status" | "maintenance">): State =>
  s.maintenance ? "maintenance" : OF[s.status];

export const emptyTally = (): Tally => ({
  n: 0,
  ok: 0,
  degraded: 0,
  bad: 0,
  unknown: 0,
  maintenance: 0,
  ms: { ok: 0, degraded: 0, bad: 0, unknown: 0, maintenance: 0 },
});

/** Adds `from` to `into`. */
export function addTally(into: Tally, from: Tally): void {
  into.n += from.n;
  for (const state of STATES) {
    into[state] += from[state];
    into.ms[state] += from.ms[state];
  }
}

/** Nearest-rank quantile of ascending values: the smallest that at least the share `p` of them does not pass. */
export function quantile(sorted: ArrayLike<number>, p: number): number | null {
  return sorted.length === 0 ? null : sorted[Math.max(0, Math.ceil(p * sorted.length) - 1)]!;
}

const ascending = (values: number[]): number[] => values.sort((a, b) => a - b);
const latencies = (looks: Counted[]): number[] =>
  ascending(looks.flatMap((s) => (s.latency_ms === null ? [] : [s.latency_ms])));

/** A deleted target's pace is gone; this is the shipped interval. */
const DEFAULT_PACE: Pace = { every_s: 300, created_at: 0 };
/** A look stands for at most one and a half intervals: longer silence is time not seen. */
const REACH = 1.5;

/**
 * The time each look stands for, ms: up to the next one, and the first also back to the start of the hour, each at most one
 * and a half intervals. A suspect or open target is looked at more often than a healthy one, so counting looks would
 * overstate its downtime. `looks` ascend by time.
 */
function weigh(looks: Counted[], start: number, pace: Pace, into: Record<State, number>): void {
  const end = start + HOUR;
  const reach = REACH * pace.every_s * 1000;
  const place = (at: number): number => Math.min(Math.max(at, start), end);
  looks.forEach((look, i) => {
    const at = place(look.at);
    const next = i + 1 < looks.length ? place(looks[i + 1]!.at) : end;
    const before = i > 0 ? 0 : Math.min(at - Math.max(start, Math.min(pace.created_at, at)), reach);
    into[stateOf(look)] += before + Math.min(next - at, reach);
  });
}

/** One target's hour. `looks` belong to it (packed ones by their cycle, so a look may begin a little after the end). */
export function rollupTarget(num: number, looks: Counted[], start: number, pace: Pace = DEFAULT_PACE): Rollup {
  const sorted = [...looks].sort((a, b) => a.at - b.at);
  const tally = emptyTally();
  for (const look of sorted) {
    tally.n++;
    tally[stateOf(look)]++;
  }
  weigh(sorted, start, pace, tally.ms);
  const all = latencies(sorted);
  const middle = start + HOUR / 2;
  return {
    num,
    ...tally,
    p50: quantile(all, 0.5),
    p95: quantile(all, 0.95),
    max: all.at(-1) ?? null,
    half: [
      quantile(latencies(sorted.filter((s) => s.at < middle)), 0.5),
      quantile(latencies(sorted.filter((s) => s.at >= middle)), 0.5),
    ],
  };
}

/** The hour of every target that was looked at, by ascending number. */
export function rollupLooks(looks: Counted[], start: number, paces: Map<number, Pace>): Rollup[] {
  const byNum = new Map<number, Counted[]>();
  for (const look of looks) {
    const list = byNum.get(look.num);
    if (list) list.push(look);
    else byNum.set(look.num, [look]);
  }
  return [...byNum.keys()]
    .sort((a, b) => a - b)
    .map((num) => rollupTarget(num, byNum.get(num)!, start, paces.get(num) ?? DEFAULT_PACE));
}

function weightedQuantile(values: { value: number | null; weight: number }[], p: number): number | null {
  const known = values.flatMap(({ value, weight }) => (value === null ? [] : [{ value, weight }]));
  known.sort((a, b) => a.value - b.value);
  const total = known.reduce((sum, v) => sum + v.weight, 0);
  let seen = 0;
  for (const v of known) {
    seen += v.weight;
    if (seen >= p * total) return v.value;
  }
  return null;
}

/**
 * Several hours of one target as one: counts, times and max are exact; p50 and p95 are quantiles of the hours' own p50 and
 * p95, weighted by looks, which is near but not exact (docs/watch-history.md).
 */
export function mergeRollups(num: number, hours: Rollup[]): Rollup {
  const tally = emptyTally();
  let max: number | null = null;
  for (const hour of hours) {
    addTally(tally, hour);
    if (hour.max !== null) max = Math.max(max ?? 0, hour.max);
  }
  const of = (key: "p50" | "p95") => hours.map((h) => ({ value: h[key], weight: h.n }));
  return {
    num,
    ...tally,
    p50: weightedQuantile(of("p50"), 0.5),
    p95: weightedQuantile(of("p95"), 0.95),
    max,
    half: [null, null],
  };
}

/** Uptime as the pages show it. */
export interface Uptime {
  /** 0 to 100, cut (never rounded) to two decimals; null when nothing was seen. 100 only when no look was bad. */
  percent: number | null;
  /** Share of the expected time that was seen as up or down, 0 to 1; maintenance is not expected. Null: nothing expected. */
  coverage: number | null;
  /** Coverage under 98 %: the pages mark the number with `*`. */
  partial: boolean;
}

const FULL_COVERAGE = 0.98;

/**
 * Uptime = (ok + degraded) / (ok + degraded + bad) over time seen; unknown and maintenance are left out
 * (operator-experience §3). `expected_ms` is the time that should have been seen, see `expectedMs`; without it, gaps between
 * looks don't count against coverage.
 */
export function uptime(t: Tally, expected_ms?: number): Uptime {
  const timed = STATES.some((s) => t.ms[s] > 0);
  const { ok, degraded, bad, unknown } = timed ? t.ms : t;
  const up = ok + degraded;
  const seen = up + bad;
  const cut = seen === 0 ? null : Math.floor((up * 10_000) / seen) / 100;
  const percent = cut === 100 && t.bad > 0 ? 99.99 : cut;
  const expected = timed && expected_ms !== undefined ? Math.max(expected_ms - t.ms.maintenance, seen) : seen + unknown;
  const coverage = expected <= 0 ? null : Math.min(1, seen / expected);
  return { percent, coverage, partial: coverage !== null && coverage < FULL_COVERAGE };
}

/** How much of a span a target's looks can stand for: one look stands for an hour at most. */
export const expectedMs = (span_ms: number, every_s: number): number =>
  every_s * 1000 <= HOUR ? span_ms : (span_ms * HOUR) / (every_s * 1000);

/** The most targets in one stored part; at the widest entry (95 bytes) a part stays under 0.5 MB. */
export const PART_SIZE = 5_000;

const b36 = (n: number): string => Math.round(n).toString(36);
const maybe = (n: number | null): string => (n === null ? "" : b36(n));
const count = (n: number): string => (n === 0 ? "" : b36(n));

/** The text to look for in a stored rollup to find the entry of `num`. */
export const entryNeedle = (num: number): string => `;${num.toString(36)}:`;
/** Longer than any entry. */
export const ENTRY_MAX = 160;

function encodeEntry(r: Rollup): string {
  const fields = [
    ...STATES.map((s) => count(r[s])),
    maybe(r.p50),
    maybe(r.p95),
    maybe(r.max),
    maybe(r.half[0]),
    maybe(r.half[1]),
    ...STATES.map((s) => count(r.ms[s])),
  ];
  return `${entryNeedle(r.num)}${fields.join(",").replace(/,+$/, "")}`;
}

/**
 * Targets of one hour or day as text: `1[m]\n;<num>:<15 fields>...`, base 36, an empty count is 0, an empty latency is null;
 * `m` marks a day whose quantiles are merged from its hours.
 */
export const encodeRollups = (rows: Rollup[], merged = false): string =>
  `${merged ? "1m" : "1"}\n${rows.map(encodeEntry).join("")}`;

/** Reads the entry that `text` begins with, or null. */
export function decodeEntry(text: string): Rollup | null {
  const m = /^;([0-9a-z]+):([0-9a-z,]*)/.exec(text);
  if (!m) return null;
  const fields = m[2]!.split(",");
  if (fields.length > 15) return null;
  const value = (i: number): number | null => (fields[i] ? Number.parseInt(fields[i]!, 36) : null);
  const out: Rollup = {
    num: Number.parseInt(m[1]!, 36),
    ...emptyTally(),
    p50: value(5),
    p95: value(6),
    max: value(7),
    half: [value(8), value(9)],
  };
  STATES.forEach((s, i) => {
    out[s] = value(i) ?? 0;
    out.n += out[s];
    out.ms[s] = value(10 + i) ?? 0;
  });
  return out;
}

/** Decodes a stored part, or null when it is not one. */
export function decodeRollups(text: string): { merged: boolean; rows: Rollup[] } | null {
  const cut = text.indexOf("\n");
  const head = text.slice(0, cut);
  if (cut < 0 || (head !== "1" && head !== "1m")) return null;
  const rows: Rollup[] = [];
  for (const entry of text.slice(cut + 2).split(";")) {
    if (entry === "") continue;
    const row = decodeEntry(`;${entry}`);
    if (!row) return null;
    rows.push(row);
  }
  return { merged: head === "1m", rows };
}
