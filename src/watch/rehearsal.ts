import type { Machine } from "./incident";
import type { Snapshot } from "./types";

/** The made-up look of a rehearsal: bad until it would be confirmed, then good. No call is made. */
export function rehearsed(m: Machine, at: number): Snapshot {
  const bad = (m.rehearsal?.bad_left ?? 0) > 0;
  return {
    at,
    status: bad ? "unhealthy" : "healthy",
    reason: bad ? "service_unhealthy" : "ok",
    signal: "rehearsal",
    latency_ms: null,
    details: {},
    error: bad ? "Rehearsed fault: no call was made." : null,
    rehearsal: true,
  };
}

/** True when two machines differ in nothing but the count and time of good looks: not worth a row. */
export function unchanged(a: Machine, b: Machine): boolean {
  const strip = (m: Machine): string => JSON.stringify({ ...m, last_at: 0, good: 0, edges: 0, runs: 0 });
  return a.phase === "steady" && b.phase === "steady" && strip(a) === strip(b);
}
