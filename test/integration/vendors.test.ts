import { env } from "cloudflare:workers";
import * as fc from "fast-check";
import { beforeEach, describe, expect, it } from "vitest";
import { readMemory, writeMemory } from "../../src/watch/memory.store";
import { control, ledger, look, targetOf, vendors } from "./probe-kit";

/** Proves the five vendors' own rules (kora-watch §1.1-§1.5), what their probes remember, and that no reply is misread as health. */

const HOUR = 3_600_000;
const DAY = 24 * HOUR;

beforeEach(() => control({ reset: true }));

describe("supabase", () => {
  it.each([
    ["db_unhealthy", "unhealthy", "db_unhealthy"],
    ["rest_unhealthy", "unhealthy", "rest_unhealthy"],
    ["storage_unhealthy", "degraded", "service_unhealthy"],
    ["realtime_unhealthy", "degraded", "service_unhealthy"],
  ])("%s", async (mode, status, signal) => {
    await control({ supabase: { mode } });
    const s = await look(targetOf("supabase"));
    expect(s).toMatchObject({ status, reason: "service_unhealthy", signal });
    expect(s.details).toMatchObject({ services: { [mode.split("_")[0]!]: "UNHEALTHY" }, paused: false });
  });
  it("healthy details: services and the data plane's latency", async () => {
    const s = await look(targetOf("supabase"));
    expect(s.details).toEqual({
      services: Object.fromEntries(
        ["auth", "db", "pooler", "realtime", "rest", "storage"].map((n) => [n, "ACTIVE_HEALTHY"]),
      ),
      data_plane_ms: expect.any(Number),
      paused: false,
    });
  });
  it("a broken control plane is not called a database outage", async () => {
    for (const mode of ["503", "reset"]) {
      await control({ supabase: { mode, leg: "management" } });
      expect(await look(targetOf("supabase"))).toMatchObject({
        status: "degraded",
        reason: "service_unhealthy",
        signal: "control_plane",
      });
    }
  });
  it("a silent data plane beside a fine control plane is degraded", async () => {
    await control({ supabase: { mode: "503", leg: "data" } });
    expect(await look(targetOf("supabase"))).toMatchObject({ status: "degraded", signal: "data_plane" });
  });
  it("a refused key on either leg is auth_failed", async () => {
    for (const leg of ["management", "data"]) {
      await control({ supabase: { mode: "401", leg } });
      expect(await look(targetOf("supabase"))).toMatchObject({ status: "unhealthy", reason: "auth_failed" });
    }
  });
  it("540 is a paused project, asked once", async () => {
    await control({ supabase: { mode: "540", leg: "data" } });
    expect(await look(targetOf("supabase"))).toMatchObject({
      status: "unhealthy",
      signal: "paused",
      details: { paused: true },
    });
    expect((await ledger()).filter((r) => r.path.startsWith("/auth")).length).toBe(1);
  });
  it("coming up is fine for ten minutes, then degraded; health forgets it", async () => {
    const target = targetOf("supabase");
    await control({ supabase: { mode: "db_coming_up" } });
    const first = await look(target);
    expect(first).toMatchObject({ status: "healthy", details: { services: { db: "COMING_UP" } } });
    expect(await readMemory(env.DB, target.num)).toEqual({ coming_up: { db: first.at } });
    await writeMemory(env.DB, target.num, { coming_up: { db: Date.now() - 9 * 60_000 } }, 0);
    expect(await look(target)).toMatchObject({ status: "healthy" });
    await writeMemory(env.DB, target.num, { coming_up: { db: Date.now() - 11 * 60_000 } }, 0);
    expect(await look(target)).toMatchObject({ status: "degraded", signal: "coming_up" });
    await control({ supabase: { mode: "ok" } });
    await look(target);
    expect(await readMemory(env.DB, target.num)).toEqual({ coming_up: {} });
  });
});

describe("fly", () => {
  it.each([
    [
      "failed_machine",
      "unhealthy",
      "no_serving_machine",
      { total: 1, serving: 0, idle: 0, unhealthy: ["148e21c9a45678"] },
    ],
    [
      "critical_check",
      "unhealthy",
      "no_serving_machine",
      { total: 1, serving: 0, idle: 0, unhealthy: ["148e21c9a45678"] },
    ],
    ["stopped", "unhealthy", "no_serving_machine", { total: 1, serving: 0, idle: 0, unhealthy: ["148e21c9a45678"] }],
    ["no_machines", "unhealthy", "no_machines", { total: 0, serving: 0, idle: 0, unhealthy: [] }],
    ["one_failed", "degraded", "unhealthy_machine", { total: 2, serving: 1, idle: 0, unhealthy: ["148e21c9a45678"] }],
    ["stuck", "degraded", "unhealthy_machine", { total: 2, serving: 1, idle: 0, unhealthy: ["3d8d7961b9e189"] }],
  ])("%s", async (mode, status, signal, facts) => {
    await control({ fly: { mode } });
    expect(await look(targetOf("fly"))).toMatchObject({
      status,
      reason: "service_unhealthy",
      signal,
      details: { apps: { web: facts } },
    });
  });
  it.each([
    ["ok", { total: 2, serving: 1, idle: 1 }],
    ["idle", { total: 1, serving: 0, idle: 1 }],
    ["standby", { total: 2, serving: 1, idle: 1 }],
    ["stopped_by_user", { total: 2, serving: 1, idle: 1 }],
    ["starting", { total: 2, serving: 1, idle: 0 }],
    ["updating", { total: 2, serving: 1, idle: 0 }],
  ])("%s is healthy", async (mode, facts) => {
    await control({ fly: { mode } });
    expect(await look(targetOf("fly"))).toMatchObject({
      status: "healthy",
      details: { apps: { web: { ...facts, unhealthy: [] } } },
    });
  });
  it("a state we do not know is drift", async () => {
    await control({ fly: { mode: "unknown_state" } });
    expect(await look(targetOf("fly"))).toMatchObject({ status: "degraded", reason: "schema_drift" });
  });
  it("of several apps the worst counts, and each keeps its own facts", async () => {
    await control({ fly: { mode: "404", only: "/ghost/" } });
    const s = await look(targetOf("fly", { apps: ["web", "ghost", "api"] }));
    expect(s).toMatchObject({
      status: "degraded",
      reason: "misconfigured",
      details: {
        apps: { ghost: { error: "misconfigured", http_status: 404 }, web: { serving: 1 }, api: { serving: 1 } },
      },
    });
    expect(s.error).toContain("ghost");
  });
  it("details of twenty apps fit two KiB, the faulty ones first", async () => {
    await control({ fly: { mode: "failed_machine", only: "/app-19-" } });
    const apps = Array.from({ length: 20 }, (_, i) => `app-${i}-${"x".repeat(60)}`);
    const s = await look(targetOf("fly", { apps }));
    expect(JSON.stringify(s.details).length).toBeLessThanOrEqual(2_048);
    expect(s.details).toMatchObject({ cut: true, apps: { [apps[19]!]: { unhealthy: ["148e21c9a45678"] } } });
  });
});

describe("vercel", () => {
  it.each([
    ["latest_error", "degraded", "latest_production_error"],
    ["error_then_building", "degraded", "latest_production_error"],
    ["error_twice", "unhealthy", "production_error_twice"],
    ["error_rate", "degraded", "error_rate"],
    ["stuck_build", "degraded", "stuck_build"],
    ["two_projects", "degraded", "latest_production_error"],
  ])("%s", async (mode, status, signal) => {
    await control({ vercel: { mode } });
    expect(await look(targetOf("vercel"))).toMatchObject({ status, reason: "service_unhealthy", signal });
  });
  it.each(["ok", "none", "error_then_canceled", "few_errors", "building"])("%s is healthy", async (mode) => {
    await control({ vercel: { mode } });
    expect(await look(targetOf("vercel"))).toMatchObject({ status: "healthy", reason: "ok" });
  });
  it("names the failing deployment, its commit and its address; nothing of its author", async () => {
    await control({ vercel: { mode: "latest_error" } });
    const s = await look(targetOf("vercel"));
    expect(s.details["failing"]).toEqual([
      {
        project: "checkout",
        uid: "dpl_checkout0009",
        sha: expect.stringMatching(/^0000009f3c1/),
        url: "checkout-9.vercel.app",
      },
    ]);
    expect(JSON.stringify(s)).not.toMatch(/dev@example|inspector/);
  });
  it("asks for production of the named projects and team, and follows at most three pages", async () => {
    await control({ vercel: { mode: "many_pages" } });
    const s = await look(targetOf("vercel", { project_ids: ["prj_checkout", "prj_quiet"] }));
    expect(s.status).toBe("healthy");
    const rows = await ledger();
    expect(rows.length).toBe(3);
    const query = new URL(rows[0]!.path, "http://x").searchParams;
    expect(Object.fromEntries(query)).toMatchObject({
      target: "production",
      projectIds: "prj_checkout,prj_quiet",
      teamId: "team_1",
      limit: "100",
    });
    expect(Date.now() - Number(query.get("since"))).toBeGreaterThan(DAY - 1_000);
    expect(new URL(rows[2]!.path, "http://x").searchParams.has("until")).toBe(true);
  });
  it("FAILED is no state of Vercel: drift", async () => {
    await control({ vercel: { mode: "unknown_state" } });
    expect(await look(targetOf("vercel"))).toMatchObject({ reason: "schema_drift" });
  });
});

describe("sentry", () => {
  it("a new issue of error level is degraded, with ids and counts", async () => {
    await control({ sentry: { mode: "new_issue" } });
    expect(await look(targetOf("sentry"))).toMatchObject({
      status: "degraded",
      signal: "new_issue",
      details: { unresolved_issues: 12, new_count: 1, new: [{ id: "SHOP-2", level: "error", users: 7 }] },
    });
  });
  it.each(["new_warning", "new_few_users", "old_new"])("%s is no change that counts", async (mode) => {
    await control({ sentry: { mode } });
    expect(await look(targetOf("sentry"))).toMatchObject({ status: "healthy" });
  });
  it("a regression counts for an hour, not for as long as Sentry calls it one", async () => {
    const target = targetOf("sentry");
    await control({ sentry: { mode: "regressed" } });
    expect(await look(target)).toMatchObject({ status: "degraded", signal: "regressed_issue" });
    const kept = (await readMemory(env.DB, target.num)) as { regressed: Record<string, number>; totals: unknown[] };
    const [id] = Object.keys(kept.regressed);
    await writeMemory(env.DB, target.num, { totals: [], regressed: { [id!]: Date.now() - 2 * HOUR } }, 0);
    expect(await look(target)).toMatchObject({ status: "healthy" });
  });
  it("a standing backlog is not a fault; growth beyond twice the median is", async () => {
    const target = targetOf("sentry");
    await control({ sentry: { mode: "ok", hits: 300 } });
    expect(await look(target)).toMatchObject({
      status: "healthy",
      details: { unresolved_issues: 300, median_7d: 300 },
    });
    await control({ sentry: { mode: "ok", hits: 600 } });
    expect(await look(target)).toMatchObject({ status: "healthy" });
    await control({ sentry: { mode: "ok", hits: 601 } });
    expect(await look(target)).toMatchObject({ status: "degraded", signal: "backlog", details: { median_7d: 300 } });
  });
  it("ten or fewer never count as a backlog", async () => {
    const target = targetOf("sentry");
    await writeMemory(env.DB, target.num, { totals: [[Date.now() - HOUR, 1]], regressed: {} }, 0);
    await control({ sentry: { mode: "ok", hits: 10 } });
    expect(await look(target)).toMatchObject({ status: "healthy", details: { median_7d: 1 } });
    await control({ sentry: { mode: "ok", hits: 11 } });
    expect(await look(target)).toMatchObject({ status: "degraded", signal: "backlog" });
  });
  it("totals older than seven days are forgotten, and one is kept every six hours", async () => {
    const target = targetOf("sentry");
    const now = Date.now();
    await writeMemory(
      env.DB,
      target.num,
      {
        totals: [
          [now - 8 * DAY, 1],
          [now - 7 * HOUR, 40],
        ],
        regressed: {},
      },
      0,
    );
    await control({ sentry: { mode: "ok", hits: 44 } });
    await look(target);
    await look(target);
    const kept = (await readMemory(env.DB, target.num)) as { totals: [number, number][] };
    expect(kept.totals.map(([, n]) => n)).toEqual([40, 44]);
  });
  it("asks with the project as a parameter when it is a number, as a term when it is a slug", async () => {
    await look(targetOf("sentry", { project: "450", environment: "production" }));
    await look(targetOf("sentry", { project: "shop" }));
    const queries = (await ledger()).map((r) => new URL(r.path, "http://x").searchParams);
    expect(queries.filter((q) => q.get("project") === "450" && q.get("environment") === "production").length).toBe(3);
    expect(queries.filter((q) => q.get("query")?.endsWith("project:shop")).length).toBe(3);
    expect(queries.filter((q) => q.get("statsPeriod") === "1h").length).toBe(4);
  });
});

describe("doppler", () => {
  it("asks only /v3/me for liveness, and keeps no preview of the token", async () => {
    const s = await look(targetOf("doppler"));
    expect(s.details).toEqual({ token_type: "service_account", workplace: "Acme" });
    expect((await ledger()).map((r) => r.path)).toEqual(["/v3/me"]);
  });
  it("hygiene once a day: ages per config, no addresses, and old secrets are no fault", async () => {
    const target = targetOf("doppler", { hygiene: true });
    await control({ doppler: { mode: "stale" } });
    const s = await look(target);
    expect(s).toMatchObject({
      status: "healthy",
      details: {
        hygiene: {
          state: "checked",
          projects_total: 1,
          configs_total: 2,
          oldest_days: 200,
          stale: ["shop/prd"],
          changes_last_hour: 1,
        },
      },
    });
    const calls = (await ledger()).length;
    expect(await look(target)).toMatchObject({ status: "healthy", details: { hygiene: { oldest_days: 200 } } });
    expect((await ledger()).length).toBe(calls + 1);
    expect(JSON.stringify([s, await readMemory(env.DB, target.num)])).not.toMatch(/@|Dev/);
  });
  it("a token that may not list projects still shows liveness, and is asked again after an hour only", async () => {
    const target = targetOf("doppler", { hygiene: true });
    await control({ doppler: { mode: "403", only: "/v3/projects" } });
    expect(await look(target)).toMatchObject({ status: "healthy", details: { hygiene: { state: "auth_failed" } } });
    await look(target);
    expect((await ledger()).filter((r) => r.path.startsWith("/v3/projects")).length).toBe(1);
  });
});

describe("no reply is misread as health", () => {
  /** The stand-in answers `body` whatever is asked. */
  const replying = (kind: string, body: unknown, headers?: Record<string, string>) => {
    const bytes = new TextEncoder().encode(JSON.stringify({ status: 200, body, headers }));
    let raw = "";
    for (const b of bytes) raw += String.fromCharCode(b);
    const base = `${vendors}/reply/${btoa(raw).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "")}`;
    const field = {
      supabase: "management_url",
      fly: "api_url",
      vercel: "api_url",
      sentry: "base_url",
      doppler: "api_url",
    }[kind]!;
    return targetOf(kind, { [field]: base });
  };
  const valid: Record<string, () => unknown> = {
    supabase: () => [
      { name: "db", status: "ACTIVE_HEALTHY", healthy: true },
      { name: "rest", status: "ACTIVE_HEALTHY", healthy: true },
    ],
    fly: () => [{ id: "148e21", state: "started", checks: [{ name: "a", status: "passing" }] }],
    vercel: () => ({
      deployments: [{ uid: "dpl_1", name: "web", created: Date.now() - HOUR, state: "READY", url: "a.vercel.app" }],
      pagination: { next: null },
    }),
    sentry: () => [{ id: "1", title: "t", level: "error", userCount: 0, firstSeen: "2026-01-01T00:00:00Z" }],
    doppler: () => ({ type: "service_account", workplace: { name: "Acme", slug: "acme" } }),
  };
  /** Fields without which the form is not the known one. */
  const needed: Record<string, string[]> = {
    supabase: ["0.name", "0.status", "1.name", "1.status"],
    fly: ["0.id", "0.state"],
    vercel: ["deployments", "deployments.0.uid", "deployments.0.created", "deployments.0.state", "pagination"],
    sentry: ["0.id", "0.level", "0.userCount", "0.firstSeen", "0.title"],
    doppler: ["type", "workplace", "workplace.name"],
  };
  const without = (body: unknown, path: string): unknown => {
    const copy = structuredClone(body);
    const steps = path.split(".");
    const last = steps.pop()!;
    const parent = steps.reduce<Record<string, unknown>>(
      (at, s) => at[s] as Record<string, unknown>,
      copy as Record<string, unknown>,
    );
    delete parent[last];
    return copy;
  };

  describe.each(Object.keys(valid))("%s", (kind) => {
    it("the form we build on is read as healthy", async () => {
      expect(await look(replying(kind, valid[kind]!()))).toMatchObject({ status: "healthy" });
    });
    it.each(needed[kind]!)("without %s it is drift", async (path) => {
      expect(await look(replying(kind, without(valid[kind]!(), path)))).toMatchObject({
        status: "degraded",
        reason: "schema_drift",
      });
    });
    it("any other JSON is drift, never a throw", async () => {
      await fc.assert(
        fc.asyncProperty(fc.jsonValue({ maxDepth: 3 }), async (body) => {
          const s = await look(replying(kind, body));
          expect(s.signal).not.toBe("probe_error");
          // An empty list is a true answer of Sentry's (no issue) and of Fly's (no machine, which is a fault).
          const empty = Array.isArray(body) && body.length === 0;
          if (empty && kind === "sentry") expect(s.status).toBe("healthy");
          else if (empty && kind === "fly") expect(s).toMatchObject({ status: "unhealthy", signal: "no_machines" });
          else expect(s).toMatchObject({ status: "degraded", reason: "schema_drift" });
        }),
        { numRuns: 30 },
      );
    });
    it("a known form with strange values inside never throws", async () => {
      await fc.assert(
        fc.asyncProperty(fc.constantFrom(...needed[kind]!), fc.jsonValue({ maxDepth: 2 }), async (path, value) => {
          const body = structuredClone(valid[kind]!());
          const steps = path.split(".");
          const last = steps.pop()!;
          const parent = steps.reduce<Record<string, unknown>>(
            (at, s) => at[s] as Record<string, unknown>,
            body as Record<string, unknown>,
          );
          parent[last] = value;
          const s = await look(replying(kind, body));
          expect(s.signal).not.toBe("probe_error");
          expect(["healthy", "degraded", "unhealthy"]).toContain(s.status);
        }),
        { numRuns: 20 },
      );
    });
  });
});
