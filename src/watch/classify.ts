import { clip } from "../kernel/errors";
import type { Json, Kind, Reason, Severity, Snapshot, Target } from "./types";

/** From a look to an issue in words (`kora-watch.md` §3). Pure; never an LLM; never drops an issue because a text can't be made. */

export interface Issue {
  severity: Severity;
  /** At most 60 characters, e.g. "fly-web: no serving machine". */
  title: string;
  /** What was seen and what it means, one or two sentences. */
  detail: string;
}

type Named = Pick<Target, "name" | "kind">;
type Seen = Pick<Snapshot, "status" | "reason" | "signal" | "details" | "error">;

const TITLE_MAX = 60;
const DETAIL_MAX = 400;

/** How bad an issue is; the one severity function of every path. `info` for a look that is no issue. */
export function severityOf(kind: Kind, s: Pick<Snapshot, "status" | "reason">): Severity {
  if (s.status === "healthy" || (s.status === "unknown" && s.reason !== "unreachable")) return "info";
  // Sentry only watches: whatever happens to it, what it watches still runs.
  if (kind === "sentry" || s.status === "degraded" || s.reason === "schema_drift" || s.reason === "misconfigured")
    return "warning";
  return "critical";
}

const IMPACT: Partial<Record<Kind, string>> = {
  supabase: "Writes to the data layer may fail.",
  fly: "Restart and scale may not complete.",
  vercel: "The site may serve a stale build.",
  sentry: "Observability only; the runtime is unaffected.",
  doppler: "Secret reads, rotation and redeploys may fail.",
};

const REASON_WORDS: Record<Reason, string> = {
  ok: "OK",
  not_configured: "not configured",
  unreachable: "no answer",
  service_unhealthy: "not working",
  auth_failed: "credential refused",
  misconfigured: "not found where configured",
  rate_limited: "rate limited",
  schema_drift: "answers in an unknown form",
  missed_beat: "no beat in time",
  job_failed: "job failed",
  no_beat_yet: "no beat yet",
  not_probed: "not looked at in time",
  not_looked_yet: "not looked at yet",
};

type Say = (details: Record<string, Json>) => string;

/** Throws on anything but a finite number; the caller then falls back to general words. */
function num(value: Json | undefined): number {
  if (typeof value !== "number" || !Number.isFinite(value)) throw new TypeError("not a number");
  return value;
}

const SIGNAL_WORDS: Record<string, Say> = {
  timeout: () => "no answer within 8 s",
  never_beaten: () => "the first beat did not come",
  still_running: () => "started and not finished",
  private_address: () => "points to a private address",
  too_many_redirects: () => "redirects in a circle",
  request_refused: () => "refuses the request",
  bad_config: () => "its settings no longer fit",
  probe_error: () => "the look itself failed",
  slow: () => "slow",
  http_5xx: (d) => `answers with HTTP ${num(d["http_status"])}`,
  unexpected_status: (d) => `answers with HTTP ${num(d["http_status"])}`,
  keyword_missing: () => "expected words are missing",
  keyword_present: () => "unwanted words in the answer",
  json_mismatch: () => "a value is not as expected",
  // Supabase
  db_unhealthy: () => "database unhealthy",
  rest_unhealthy: () => "REST API unhealthy",
  service_unhealthy: () => "a service is unhealthy",
  data_plane: () => "the project does not answer",
  control_plane: () => "management API down, project fine",
  both_legs: () => "project and management API down",
  coming_up: () => "a service is coming up too long",
  paused: () => "the project is paused",
  // Fly
  no_serving_machine: () => "no serving machine",
  no_machines: () => "no machine at all",
  unhealthy_machine: () => "a machine is unhealthy",
  // Vercel
  latest_production_error: () => "the latest deployment failed",
  production_error_twice: () => "the last two deployments failed",
  stuck_build: () => "a deployment is stuck",
  error_rate: (d) => `${(num(d["error_rate_24h"]) * 100).toFixed(1)} % of deployments failed`,
  // Sentry
  new_issue: (d) => (num(d["new_count"]) === 1 ? "a new issue" : `${num(d["new_count"])} new issues`),
  regressed_issue: (d) =>
    num(d["regressed_count"]) === 1 ? "an issue came back" : `${num(d["regressed_count"])} issues came back`,
  backlog: (d) => `${num(d["unresolved_issues"])} unresolved issues`,
};

function words(s: Seen): string {
  const say = s.signal !== undefined && Object.hasOwn(SIGNAL_WORDS, s.signal) ? SIGNAL_WORDS[s.signal] : undefined;
  return say ? say(s.details) : REASON_WORDS[s.reason];
}

/** The name gives way, not the words: the words are what is wrong. */
function titled(name: string, what: string): string {
  return clip(`${clip(name, Math.max(12, TITLE_MAX - 2 - what.length))}: ${what}`, TITLE_MAX);
}

/** Our own rules say themselves how bad they are (`kora-watch.md` §8). */
function ruleSeverity(s: Seen): Severity {
  const said = s.details["severity"];
  if (s.status === "healthy" || s.status === "unknown") return "info";
  return said === "critical" || said === "warning" || said === "info" ? said : "warning";
}

/**
 * The issue a look shows. For a look that is no issue (healthy, or nothing could be seen) the severity is `info` and the words
 * say so. Malformed details yield general words, never a throw.
 */
export function issueOf(target: Named, snapshot: Seen): Issue {
  const severity = target.kind === "internal" ? ruleSeverity(snapshot) : severityOf(target.kind, snapshot);
  let what: string;
  try {
    // A rule's finding is already one short sentence of ours.
    what = target.kind === "internal" && snapshot.error ? snapshot.error : words(snapshot);
  } catch {
    what = REASON_WORDS[snapshot.reason] ?? "needs a look";
  }
  const seen = snapshot.error?.trim() ?? "";
  const sentence = seen === "" ? "" : /[.!?…]$/.test(seen) ? seen : `${seen}.`;
  const impact = severity === "info" ? "" : (IMPACT[target.kind] ?? "");
  // The impact is ours and short; the vendor's words give way to it.
  const head = clip(sentence, DETAIL_MAX - 1 - impact.length);
  return { severity, title: titled(target.name, what), detail: [head, impact].filter(Boolean).join(" ") };
}
