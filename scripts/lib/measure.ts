import { formatNumber, type Term } from "./term";

export type Compare = "<" | "<=" | ">" | ">=" | "=";

/** One figure of a bench or drill, with what it is held against. */
export interface Measure {
  /** Stable name in `--json`, e.g. `watch.rows_written`. */
  name: string;
  /** The same for people, e.g. `D1 rows written`. */
  label: string;
  value: number;
  unit: string;
  /** null: reported, not judged. */
  goal: number | null;
  compare: Compare;
  /** The same figure of a peer or baseline, as text, or null. */
  beside?: string | null;
}

/** true, false, or null when there is no goal. A figure that is not a number misses any goal. */
export function judge(m: Measure): boolean | null {
  if (m.goal === null) return null;
  if (!Number.isFinite(m.value)) return false;
  switch (m.compare) {
    case "<":
      return m.value < m.goal;
    case "<=":
      return m.value <= m.goal;
    case ">":
      return m.value > m.goal;
    case ">=":
      return m.value >= m.goal;
    case "=":
      return m.value === m.goal;
  }
}

export function toJson(m: Measure, seed: number): Record<string, unknown> {
  return { name: m.name, value: m.value, unit: m.unit, goal: m.goal, pass: judge(m), beside: m.beside ?? null, seed };
}

const verdict = (m: Measure): string =>
  ({ true: "pass", false: "MISS", null: "-" })[String(judge(m)) as "true" | "false" | "null"];
const paintVerdict = (term: Term, text: string): string =>
  text === "MISS" ? term.paint("down", text) : text === "pass" ? term.paint("ok", text) : text;
/** Units that only repeat the label stay out of the table. */
const withUnit = (m: Measure): string => {
  const number = formatNumber(m.value);
  return m.unit === "" || m.label.toLowerCase().includes(m.unit) ? number : `${number} ${m.unit}`;
};
const goalText = (m: Measure): string => (m.goal === null ? "-" : `${m.compare} ${m.goal}`);

/** The table of `npm run bench`. */
export function printTable(term: Term, measures: Measure[]): void {
  const head = ["name", "value", "goal", "beside", "verdict"];
  const rows = measures.map((m) => [m.label, withUnit(m), goalText(m), m.beside ?? "-", verdict(m)]);
  const widths = head.map((h, i) => Math.max(h.length, ...rows.map((r) => r[i]!.length)) + (i === 0 ? 4 : 3));
  const line = (cells: string[]): string => `  ${cells.map((c, i) => (i === 4 ? c : c.padEnd(widths[i]!))).join("")}`;
  term.out(term.paint("muted", line(head)));
  for (const row of rows) term.out(line([...row.slice(0, 4), paintVerdict(term, row[4]!)]));
}

/** The line of `npm run drill`: `acked loss 0 (goal 0) pass · …`. */
export function lineOf(term: Term, measures: Measure[]): string {
  const one = (m: Measure): string => {
    const goal = m.goal === null ? "" : ` (${m.compare === "=" ? "goal " : `${m.compare} `}${formatNumber(m.goal)})`;
    return `${m.label} ${withUnit(m)}${goal}${m.goal === null ? "" : ` ${paintVerdict(term, verdict(m))}`}`;
  };
  return measures.map(one).join(" · ");
}

/** `2 of 3 goals met.` and whether all are. */
export function summary(measures: Measure[]): { text: string; allMet: boolean } {
  const judged = measures.map(judge).filter((pass) => pass !== null);
  const met = judged.filter(Boolean).length;
  return { text: `${met} of ${judged.length} goals met.`, allMet: met === judged.length };
}
