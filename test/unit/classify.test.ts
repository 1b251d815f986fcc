import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { issueOf, severityOf } from "../../src/watch/classify";
import { KINDS, type Kind, REASONS, type Snapshot } from "../../src/watch/types";

/** Proves the severity table of kora-watch §3 and that words never cost an issue. */

const seen = (over: Partial<Snapshot>): Snapshot => ({
  at: 1,
  status: "unhealthy",
  reason: "service_unhealthy",
  latency_ms: 10,
  details: {},
  error: "HTTP 503 from the service",
  ...over,
});

describe("severity", () => {
  it.each(KINDS)("%s down is critical, except sentry", (kind) => {
    expect(severityOf(kind, { status: "unhealthy", reason: "service_unhealthy" })).toBe(
      kind === "sentry" ? "warning" : "critical",
    );
    expect(severityOf(kind, { status: "unknown", reason: "unreachable" })).toBe(
      kind === "sentry" ? "warning" : "critical",
    );
    expect(severityOf(kind, { status: "unhealthy", reason: "auth_failed" })).toBe(
      kind === "sentry" ? "warning" : "critical",
    );
    expect(severityOf(kind, { status: "degraded", reason: "service_unhealthy" })).toBe("warning");
    expect(severityOf(kind, { status: "degraded", reason: "schema_drift" })).toBe("warning");
    expect(severityOf(kind, { status: "degraded", reason: "misconfigured" })).toBe("warning");
  });
  it("a look that saw nothing is no issue", () => {
    for (const reason of ["not_configured", "rate_limited", "no_beat_yet", "not_probed", "not_looked_yet"] as const)
      expect(severityOf("fly", { status: "unknown", reason })).toBe("info");
    expect(severityOf("fly", { status: "healthy", reason: "ok" })).toBe("info");
  });
  it("a missed beat and a failed job are critical", () => {
    expect(severityOf("heartbeat", { status: "unhealthy", reason: "missed_beat" })).toBe("critical");
    expect(severityOf("heartbeat", { status: "unhealthy", reason: "job_failed" })).toBe("critical");
  });
});

describe("words", () => {
  it.each<[Kind, Partial<Snapshot>, string]>([
    ["fly", { signal: "no_serving_machine" }, "web: no serving machine"],
    ["http", { status: "unknown", reason: "unreachable", signal: "timeout" }, "web: no answer within 8 s"],
    ["http", { signal: "http_5xx", details: { http_status: 503 } }, "web: answers with HTTP 503"],
    [
      "vercel",
      { status: "degraded", signal: "error_rate", details: { error_rate_24h: 0.2857 } },
      "web: 28.6 % of deployments failed",
    ],
    ["sentry", { status: "degraded", signal: "new_issue", details: { new_count: 1 } }, "web: a new issue"],
    [
      "sentry",
      { status: "degraded", signal: "backlog", details: { unresolved_issues: 40 } },
      "web: 40 unresolved issues",
    ],
    ["heartbeat", { reason: "missed_beat", signal: "late" }, "web: no beat in time"],
    ["doppler", { reason: "auth_failed" }, "web: credential refused"],
  ])("%s %o", (kind, over, title) => {
    expect(issueOf({ name: "web", kind }, seen(over)).title).toBe(title);
  });

  it.each<[Kind, string]>([
    ["supabase", "Writes to the data layer may fail."],
    ["fly", "Restart and scale may not complete."],
    ["vercel", "The site may serve a stale build."],
    ["sentry", "Observability only; the runtime is unaffected."],
    ["doppler", "Secret reads, rotation and redeploys may fail."],
  ])("%s says what it means", (kind, impact) => {
    expect(issueOf({ name: "web", kind }, seen({})).detail).toBe(`HTTP 503 from the service. ${impact}`);
  });

  it("falls back to general words when a number is none (the issue is kept)", () => {
    const issue = issueOf(
      { name: "web", kind: "vercel" },
      seen({ status: "degraded", signal: "error_rate", details: { error_rate_24h: "many" } }),
    );
    expect(issue).toMatchObject({ severity: "warning", title: "web: not working" });
  });

  it("keeps the impact when the error is long, and the words when the name is", () => {
    const issue = issueOf(
      { name: "n".repeat(80), kind: "fly" },
      seen({ signal: "no_serving_machine", error: "e".repeat(900) }),
    );
    expect(issue.title).toMatch(/^n+…: no serving machine$/);
    expect(issue.title.length).toBeLessThanOrEqual(60);
    expect(issue.detail).toMatch(/Restart and scale may not complete\.$/);
    expect(issue.detail.length).toBeLessThanOrEqual(400);
  });

  it("never throws, never leaves a title empty, never passes 60 characters", () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...KINDS),
        fc.string({ maxLength: 90 }),
        fc.constantFrom("healthy", "degraded", "unhealthy", "unknown" as const),
        fc.constantFrom(...REASONS),
        fc.option(
          fc.oneof(
            fc.string(),
            fc.constantFrom("error_rate", "http_5xx", "new_issue", "backlog", "__proto__", "constructor"),
          ),
          { nil: undefined },
        ),
        fc.dictionary(
          fc.constantFrom("error_rate_24h", "http_status", "new_count", "unresolved_issues"),
          fc.jsonValue(),
        ),
        fc.option(fc.string({ maxLength: 600 }), { nil: null }),
        (kind, name, status, reason, signal, details, error) => {
          const issue = issueOf(
            { kind, name },
            { status: status as Snapshot["status"], reason, signal, details: details as Snapshot["details"], error },
          );
          expect(issue.title.length).toBeGreaterThan(2);
          expect(issue.title.length).toBeLessThanOrEqual(60);
          expect(issue.detail.length).toBeLessThanOrEqual(400);
          expect(["critical", "warning", "info"]).toContain(issue.severity);
        },
      ),
    );
  });
});
