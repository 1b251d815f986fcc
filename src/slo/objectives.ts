import { DAY, HOUR, MINUTE } from "../kernel/clock";
import type { Direction, ErrorClass } from "./types";

/**
 * What the probes say (wake-slo §6.4): percentiles, budget, burn, coverage, and which of them are breaches. Pure. Rates are
 * compared as whole numbers, because 0.05 is none of them.
 */

/** One finished probe. A level's time is null when it was not reached. */
export interface Sample {
  at: number;
  failed: boolean;
  error_class: ErrorClass | null;
  l1: number | null;
  l2: number | null;
  l3: number | null;
  l4: number | null;
  /** False: the peer tells nobody about level 2. */
  l2_known: boolean;
}

export const LEVELS = ["l1", "l2", "l3", "l4"] as const;
export type Level = (typeof LEVELS)[number];

/** A sum of probes, mergeable; latencies are kept exactly. It is what an hour's row holds. */
export interface Tally {
  n: number;
  failed: number;
  /** Failures of our own settings: no part of `n`. */
  excluded: number;
  /** Probes whose peer tells about level 2. */
  l2_n: number;
  classes: Record<string, number>;
  lat: Record<Level, number[]>;
}

export const emptyTally = (): Tally => ({
  n: 0,
  failed: 0,
  excluded: 0,
  l2_n: 0,
  classes: {},
  lat: { l1: [], l2: [], l3: [], l4: [] },
});

const bump = (classes: Record<string, number>, name: string, by = 1): void => {
  classes[name] = (classes[name] ?? 0) + by;
};

export function tally(samples: Iterable<Sample>): Tally {
  const out = emptyTally();
  for (const s of samples) {
    if (s.error_class !== null) bump(out.classes, s.error_class);
    if (s.error_class === "config_error") {
      out.excluded++;
      continue;
    }
    out.n++;
    if (s.failed) out.failed++;
    if (s.l2_known) out.l2_n++;
    for (const level of LEVELS) {
      const ms = s[level];
      if (ms !== null && (level !== "l2" || s.l2_known)) out.lat[level].push(ms);
    }
  }
  return out;
}

export function mergeTallies(parts: Iterable<Tally>): Tally {
  const out = emptyTally();
  for (const p of parts) {
    out.n += p.n;
    out.failed += p.failed;
    out.excluded += p.excluded;
    out.l2_n += p.l2_n;
    for (const [name, n] of Object.entries(p.classes)) bump(out.classes, name, n);
    for (const level of LEVELS) for (const ms of p.lat[level]) out.lat[level].push(ms);
  }
  return out;
}

/**
 * Nearest rank: the ceil(p*n)-th smallest of `n` values, of which those that `reached` lacks are +Infinity. Null when n = 0.
 * `percent` is whole. `reached` must ascend.
 */
export function percentile(reached: readonly number[], n: number, percent: number): number | null {
  if (n === 0) return null;
  const rank = Math.max(1, Math.ceil((percent * n) / 100));
  return reached[rank - 1] ?? Number.POSITIVE_INFINITY;
}

/** Latency objectives: p95 at most so many ms. */
export const LATENCY_MS: Partial<Record<Level, number>> = { l1: 5_000, l3: 10_000, l4: 15_000 };
/** Below this many probes a figure is flagged, and no rate alerts. */
export const MIN_SAMPLE = 30;
/** Success objectives in percent: of 24 h, and of 28 d. */
export const TARGET_24H = 95;
export const TARGET_28D = 99;

/** failure rate / (1 - target); null without probes. */
export const burnOf = (failed: number, n: number, target: number): number | null =>
  n === 0 ? null : (failed * 100) / (n * (100 - target));

export interface LevelView {
  /** Null also when the rank falls on a probe that never got there. */
  p50_ms: number | null;
  p95_ms: number | null;
  p99_ms: number | null;
  objective_ms: number | null;
  met: boolean | null;
  n: number;
}

export interface Summary {
  n: number;
  failed: number;
  excluded: number;
  success: number | null;
  target: number;
  met: boolean | null;
  /** Fewer than 30 probes: read with care. */
  few: boolean;
  classes: Record<string, number>;
  /** Failures the objective allows, and the share of them that is left (negative when overspent). */
  budget: number;
  budget_remaining: number | null;
  burn: number | null;
  levels: Record<Level, LevelView>;
}

/** The figures of a window against a target in percent. */
export function summarise(t: Tally, target: number): Summary {
  const { n, failed, excluded, classes } = t;
  const budget = ((100 - target) * n) / 100;
  const finite = (ms: number | null): number | null => (ms === Number.POSITIVE_INFINITY ? null : ms);
  const level = (name: Level): LevelView => {
    const sorted = [...t.lat[name]].sort((a, b) => a - b);
    const of = name === "l2" ? t.l2_n : n;
    const p95 = percentile(sorted, of, 95);
    const objective = LATENCY_MS[name] ?? null;
    return {
      p50_ms: finite(percentile(sorted, of, 50)),
      p95_ms: finite(p95),
      p99_ms: finite(percentile(sorted, of, 99)),
      objective_ms: objective,
      met: p95 === null || objective === null ? null : p95 <= objective,
      n: of,
    };
  };
  const burn = burnOf(failed, n, target);
  return {
    n,
    failed,
    excluded,
    success: n === 0 ? null : (n - failed) / n,
    target: target / 100,
    met: n === 0 ? null : failed * 100 <= n * (100 - target),
    few: n < MIN_SAMPLE,
    classes,
    budget,
    budget_remaining: burn === null ? null : 1 - burn,
    burn,
    levels: { l1: level("l1"), l2: level("l2"), l3: level("l3"), l4: level("l4") },
  };
}

/** Slots are judged from when the direction was last set or resumed: what nobody asked for is not missing. */
export interface Schedule {
  every_s: number;
  paused: boolean;
  since: number;
}

/**
 * Probes that ran / slots that passed in the last 24 h, at most 1. Null while paused, and before the fourth slot. The newest
 * slot does not count: its probe may still be on its way.
 */
export function coverageOf(starts: readonly number[], schedule: Schedule, now: number): number | null {
  const from = Math.max(now - DAY, schedule.since);
  const slots = Math.floor((now - from) / (schedule.every_s * 1000)) - 1;
  if (schedule.paused || slots < 4) return null;
  return Math.min(1, starts.filter((at) => at >= from).length / slots);
}

export const REASONS = ["hang", "rate", "burn", "coverage"] as const;
export type Reason = (typeof REASONS)[number];

export interface Breach {
  bad: boolean;
  severity: "critical" | "warning";
  text: string;
  details: Record<string, string | number | boolean | null | string[] | Record<string, number>>;
}

const percentText = (share: number): string => `${Math.round(share * 1000) / 10} %`;

/** Every rule of one direction, each on its own: none hides another. `samples` are of the last 24 h at least. */
export function judge(
  direction: Direction,
  samples: readonly (Sample & { id: string })[],
  coverage: number | null,
  now: number,
): Record<Reason, Breach> {
  const day = samples.filter((s) => s.at > now - DAY);
  const all = tally(day);
  const { n, failed, classes } = all;
  const recent = tally(day.filter((s) => s.at > now - 6 * HOUR));
  const hangs = day.filter((s) => s.error_class === "unexplained_hang");
  const fast = recent.n >= 12 && recent.failed * 100 >= 6 * recent.n * (100 - TARGET_24H);
  const slow = n >= MIN_SAMPLE && failed * 100 >= n * (100 - TARGET_24H);
  const counts = { direction, n, failed, classes };
  const share = n === 0 ? 0 : failed / n;
  return {
    hang: {
      bad: hangs.length > 0,
      severity: "critical",
      text: `${direction}: ${hangs.length} probe(s) hung without a reason in 24 h`,
      details: { ...counts, hangs: hangs.length, sample: hangs.slice(0, 5).map((s) => s.id.slice(-8)) },
    },
    rate: {
      bad: n >= MIN_SAMPLE && failed * 20 > n,
      severity: "warning",
      text: `${direction}: ${failed} of ${n} probes failed in 24 h (${percentText(share)}, limit 5 %)`,
      details: counts,
    },
    burn: {
      bad: fast || slow,
      severity: fast ? "critical" : "warning",
      text: `${direction}: the error budget burns ${fast ? "fast" : "too fast"} (${recent.failed} of ${recent.n} in 6 h, ${failed} of ${n} in 24 h)`,
      details: {
        direction,
        fast,
        slow,
        burn_6h: burnOf(recent.failed, recent.n, TARGET_24H),
        burn_24h: burnOf(failed, n, TARGET_24H),
      },
    },
    coverage: {
      bad: coverage !== null && coverage < 0.8,
      severity: "warning",
      text: `${direction}: only ${percentText(coverage ?? 0)} of the planned probes ran in 24 h (at least 80 %)`,
      details: { direction, coverage },
    },
  };
}

/** 0 clean or muted, 1 an alert was due, 2 too little data to say (wake-slo §6.4). */
export const outcomeOf = (total: number, breaches: number, fired: number): 0 | 1 | 2 =>
  fired > 0 ? 1 : breaches === 0 && total < MIN_SAMPLE ? 2 : 0;

/** A slot's jitter: the same for everybody who asks, at most 2 min and a quarter of the interval. */
export function jitterOf(code: Direction, slot: number, every_s: number): number {
  let h = 2_166_136_261;
  for (const c of `${code}:${slot}`) h = Math.imul(h ^ c.charCodeAt(0), 16_777_619);
  const span = Math.min(2 * MINUTE, (every_s * 1000) / 4);
  return Math.floor(((h >>> 0) / 4_294_967_296) * span);
}

/** The newest slot whose time has come, and when that was. Slots before it are skipped, never stacked. */
export function slotAt(
  d: { code: Direction; every_s: number; offset_s: number },
  now: number,
): { slot: number; due: number } {
  const every = d.every_s * 1000;
  const dueOf = (slot: number): number => slot * every + d.offset_s * 1000 + jitterOf(d.code, slot, d.every_s);
  const slot = Math.floor((now - d.offset_s * 1000) / every);
  return dueOf(slot) <= now ? { slot, due: dueOf(slot) } : { slot: slot - 1, due: dueOf(slot - 1) };
}
