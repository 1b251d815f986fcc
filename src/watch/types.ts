/** Words of the watch (design §1). Statuses are stored by these names; the pages say OK, Degraded, Down, Unknown. */

export const KINDS = [
  "supabase",
  "fly",
  "vercel",
  "sentry",
  "doppler",
  "http",
  "tcp",
  "heartbeat",
  "internal",
] as const;
export type Kind = (typeof KINDS)[number];

export type Status = "healthy" | "degraded" | "unhealthy" | "unknown";
export type Severity = "critical" | "warning" | "info";

/** Why a look is what it is; the category of an incident is the reason that confirmed it (`kora-watch.md` §1.6). */
export const REASONS = [
  "ok",
  "not_configured",
  "unreachable",
  "service_unhealthy",
  "auth_failed",
  "misconfigured",
  "rate_limited",
  "schema_drift",
  "missed_beat",
  "job_failed",
  "no_beat_yet",
  "not_probed",
  "not_looked_yet",
] as const;
export type Reason = (typeof REASONS)[number];

export type Json = string | number | boolean | null | Json[] | { [key: string]: Json };

/** One look at one target. `at` is Reveille time (ms) when the look began; `latency_ms` is null when nothing answered. */
export interface Snapshot {
  at: number;
  status: Status;
  reason: Reason;
  /** Which rule of the vendor's table fired, e.g. `control_plane`, `latest_production_error`. */
  signal?: string;
  latency_ms: number | null;
  details: Record<string, Json>;
  /** One redacted line for people, or null. */
  error: string | null;
  /** From a 429: the vendor asks not to be called before this many ms have passed. */
  retry_after_ms?: number;
  /** Made by "Rehearse a fault", not by a look. */
  rehearsal?: true;
}

export interface Thresholds {
  /** Bad looks in a row that confirm a fault. */
  confirm?: number;
  /** The same for `unreachable`. */
  confirm_unreachable?: number;
  /** Good looks in a row that resolve it. */
  recover?: number;
}

/** A target as the probes and objects see it. `credentials` maps a role (`token`) to a binding name. */
export interface Target {
  num: number;
  id: string;
  name: string;
  kind: Kind;
  every_s: number;
  config: Record<string, unknown>;
  credentials: Record<string, string>;
  thresholds: Thresholds;
  paused: boolean;
  muted_until: number | null;
  source: "api" | "seed" | "builtin";
  created_at: number;
  updated_at: number;
}
