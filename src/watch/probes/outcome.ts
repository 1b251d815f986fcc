import type { Outcome } from "../probe";
import type { Json, Reason, Status } from "../types";

interface More {
  signal?: string;
  latency_ms?: number | null;
  details?: Record<string, Json>;
  retry_after_ms?: number;
}

/** A fault or a look that saw nothing. An unknown outcome carries no latency: what it measured is not the service. */
export function bad(status: Exclude<Status, "healthy">, reason: Reason, error: string, more: More = {}): Outcome {
  return {
    status,
    reason,
    latency_ms: status === "unknown" ? null : (more.latency_ms ?? null),
    details: more.details ?? {},
    error,
    ...(more.signal ? { signal: more.signal } : {}),
    ...(more.retry_after_ms !== undefined ? { retry_after_ms: more.retry_after_ms } : {}),
  };
}

export function healthy(latency_ms: number | null, details: Record<string, Json> = {}): Outcome {
  return { status: "healthy", reason: "ok", latency_ms, details, error: null };
}

/** A fault named by a rule of the vendor's table (`kora-watch.md` §1.6, last row). */
export const fault = (
  status: "unhealthy" | "degraded",
  signal: string,
  error: string,
  more: Omit<More, "signal"> = {},
): Outcome => bad(status, "service_unhealthy", error, { ...more, signal });

const RANK: Record<Status, number> = { unhealthy: 3, degraded: 2, unknown: 1, healthy: 0 };

/** The outcome that matters most: a fault before "could not see", "could not see" before fine; a refused credential first of all. */
export function worst(outcomes: [Outcome, ...Outcome[]]): Outcome {
  const rank = (o: Outcome): number => RANK[o.status] + (o.reason === "auth_failed" ? 0.5 : 0);
  return outcomes.reduce((a, b) => (rank(b) > rank(a) ? b : a));
}
