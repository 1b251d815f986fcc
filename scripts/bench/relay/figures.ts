import type { Measure } from "../../lib/measure";
import { quantile } from "../../lib/sandbox";
import type { Lanes, Load } from "./load";

/** Rounds of load as figures with their goals. */

/** Lines that are asked, and the most questions under way. */
export const LINES = 32;
/** Questions a second of the open loop. */
export const OPEN_RATE = 500;

/** Rounds of one lane: what it gave with one question under way, and with 32. */
export interface Series {
  one: Load[];
  all: Load[];
}

export const mid = (values: number[]): number => quantile(values, 0.5);

/** The median of round-by-round ratios: a slow moment of the machine hits both sides of a round. */
const ratio = (a: Load[], b: Load[], of: (l: Load) => number): number => mid(a.map((l, i) => of(l) / of(b[i]!)));

const cpu = (l: Load): number => l.cpu ?? Number.NaN;
export const perSecond = (l: Load): number => l.perSecond;
const p99 = (l: Load): number => l.p99;

export const m = (
  name: string,
  label: string,
  value: number,
  unit: string,
  goal: number | null = null,
  compare: Measure["compare"] = ">=",
  beside: string | null = null,
): Measure => ({ name: `relay.${name}`, label, value, unit, goal, compare, beside });

export const n0 = (x: number): string => Math.round(x).toLocaleString("en");
const ms2 = (x: number): string => x.toFixed(2);

/** What one pair of lanes gives, ours beside the chain's; `key` and `words` tell the condition. */
export function against(ours: Series, chain: Series, key: string, words: string): Measure[] {
  const of = (pick: (l: Load) => number, s: Load[]): number => mid(s.map(pick));
  return [
    m(
      `${key}rate`,
      `round trips/s at ${LINES}${words}`,
      of(perSecond, ours.all),
      "/s",
      null,
      ">=",
      `chain ${n0(of(perSecond, chain.all))}`,
    ),
    m(`${key}chain_ratio`, `of the chain's rate${words}`, ratio(ours.all, chain.all, perSecond), "", 0.5),
    m(
      `${key}cpu`,
      `CPU of workerd per round trip${words}`,
      of(cpu, ours.all),
      "µs",
      null,
      "<=",
      `chain ${n0(of(cpu, chain.all))}`,
    ),
    m(
      `${key}p50`,
      `p50 at ${LINES}${words}`,
      of((l) => l.p50, ours.all),
      "ms",
      null,
      "<=",
      `chain ${ms2(of((l) => l.p50, chain.all))}`,
    ),
    m(`${key}p99`, `p99 at ${LINES}${words}`, of(p99, ours.all), "ms", null, "<=", `chain ${ms2(of(p99, chain.all))}`),
    m(
      `${key}one_rate`,
      `round trips/s at one${words}`,
      of(perSecond, ours.one),
      "/s",
      null,
      ">=",
      `chain ${n0(of(perSecond, chain.one))}`,
    ),
    m(
      `${key}one_p50`,
      `p50 at one${words}`,
      of((l) => l.p50, ours.one),
      "ms",
      null,
      "<=",
      `chain ${ms2(of((l) => l.p50, chain.one))}`,
    ),
    m(`${key}one_p99`, `p99 at one${words}`, of(p99, ours.one), "ms", null, "<=", `chain ${ms2(of(p99, chain.one))}`),
    m(`${key}one_p99_ratio`, `p99 at one, of the chain's${words}`, ratio(ours.one, chain.one, p99), "×", 1.5, "<="),
  ];
}

export const lentRatio = (name: string, label: string, lent: Series, unlent: Series): Measure =>
  m(
    name,
    label,
    ratio(lent.all, unlent.all, perSecond),
    "",
    0.6,
    ">=",
    `${n0(mid(lent.all.map(perSecond)))} of ${n0(mid(unlent.all.map(perSecond)))}/s at ${LINES}`,
  );

export function opened(from: Map<string, Load[]>, ours: Lanes, chain: Lanes, key: string, words: string): Measure[] {
  const of = (lane: Lanes, pick: (l: Load) => number): number => mid(from.get(lane.name)!.map(pick));
  return [
    m(
      `${key}open_p50`,
      `p50 at ${OPEN_RATE}/s, open loop${words}`,
      of(ours, (l) => l.p50),
      "ms",
      null,
      "<=",
      `chain ${ms2(of(chain, (l) => l.p50))}`,
    ),
    m(
      `${key}open_p99`,
      `p99 at ${OPEN_RATE}/s, open loop${words}`,
      of(ours, p99),
      "ms",
      null,
      "<=",
      `chain ${ms2(of(chain, p99))}`,
    ),
  ];
}
