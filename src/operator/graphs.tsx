import type { FC } from "hono/jsx";
import { STATE_WORD, type State } from "./state";

/** Server-drawn bars and lines: one path per state, colours from classes, shapes that survive greyscale. */

const SLOT = 6;
const WIDTH = 4;
const HIGH = 28;
/** Bar height by state: tall is bad, so that faults do not drown in healthy green (operator-experience §3). */
const HEIGHT: Record<State, number> = { ok: 10, degraded: 18, down: 28, unknown: 5, maintenance: 10 };

const rect = (i: number, state: State): string => {
  const h = HEIGHT[state];
  // A hollow slot is drawn on half pixels, so that its line stays inside its box.
  return state === "unknown"
    ? `M${i * SLOT + 0.5} ${HIGH - h + 0.5}h${WIDTH - 1}v${h - 1}h-${WIDTH - 1}z`
    : `M${i * SLOT} ${HIGH - h}h${WIDTH}v${h}h-${WIDTH}z`;
};

/** The words of an uptime bar: its counts, worst first. */
export function barLabel(days: (State | null)[]): string {
  const counts = new Map<string, number>();
  for (const d of days) {
    const word = d === null ? "not looked" : STATE_WORD[d];
    counts.set(word, (counts.get(word) ?? 0) + 1);
  }
  const order = ["Down", "Degraded", "Unknown", "Maintenance", "OK", "not looked"];
  const parts = order.filter((w) => counts.has(w)).map((w) => `${counts.get(w)} ${w}`);
  return `${days.length} days: ${parts.join(", ")}`;
}

/** 30 days, oldest first; null = nobody looked, drawn hollow like unknown. `titles` adds a native title a slot. */
export const UptimeBar: FC<{ days: (State | null)[]; titles?: string[] }> = ({ days, titles }) => {
  const by = (state: State): string => days.map((d, i) => ((d ?? "unknown") === state ? rect(i, state) : "")).join("");
  const maint = by("maintenance");
  return (
    <svg
      class="bar"
      viewBox={`0 0 ${days.length * SLOT} ${HIGH}`}
      preserveAspectRatio="none"
      role="img"
      aria-label={barLabel(days)}
    >
      {(["ok", "degraded", "down", "unknown"] as const).map((s) => {
        const d = by(s);
        return d ? <path class={`f-${s}`} d={d} /> : null;
      })}
      {maint && (
        <>
          <path fill="url(#stripe)" d={maint} />
          <path class="st-line" d={maint} />
        </>
      )}
      {titles?.map((t, i) => (
        <rect x={i * SLOT - 1} y={0} width={SLOT} height={HIGH} fill="transparent">
          <title>{t}</title>
        </rect>
      ))}
    </svg>
  );
};

/** Nearest-rank percentile of numbers that need not be sorted. */
export function percentile(values: number[], q: number): number | null {
  if (values.length === 0) return null;
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(q * sorted.length) - 1))]!;
}

/** A line over slots with real gaps: `null` is never bridged; a lone point is a short dash. */
export function linePath(values: (number | null)[], x: (i: number) => number, y: (v: number) => number): string {
  let path = "";
  let open = false;
  for (let i = 0; i < values.length; i++) {
    const v = values[i];
    if (v === null || v === undefined) {
      open = false;
      continue;
    }
    path += `${open ? "L" : "M"}${round(x(i))} ${round(y(v))}`;
    const next = values[i + 1];
    if (!open && (next === null || next === undefined)) path += "h1.5";
    open = true;
  }
  return path;
}

export const round = (n: number): number => Math.round(n * 10) / 10;

/** 48 half-hours of p50, 120 × 28, from 0 to its own p95; the last value is printed beside it by the caller. */
export const Sparkline: FC<{ values: (number | null)[]; label: string }> = ({ values, label }) => {
  const known = values.filter((v): v is number => v !== null);
  const top = Math.max(1, percentile(known, 0.95) ?? 1);
  const step = 120 / Math.max(1, values.length - 1);
  const d = linePath(
    values,
    (i) => i * step,
    (v) => 26.5 - (Math.min(v, top) / top) * 25,
  );
  return (
    <svg class="spark" viewBox="0 0 120 28" role="img" aria-label={label}>
      {d && <path d={d} />}
    </svg>
  );
};

/** Patterns that paths of a page refer to; once a page. */
export const Patterns: FC = () => (
  <svg class="vh" width="0" height="0" aria-hidden="true" focusable="false">
    <defs>
      <pattern id="stripe" width="4" height="4" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">
        <path class="st-maint" d="M0 2h4" />
      </pattern>
      <pattern id="hatch" width="5" height="5" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">
        <path class="st-unknown" d="M0 2.5h5" />
      </pattern>
    </defs>
  </svg>
);
