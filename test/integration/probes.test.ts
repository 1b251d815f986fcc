import { beforeEach, describe, expect, it } from "vitest";
import { CONFIG, control, ledger, look, SECRETS, targetOf } from "./probe-kit";

/**
 * Proves the status matrix of kora-watch §1.6, row by row, for each vendor and for a plain service, over real HTTP. Does not
 * prove the vendors' own rules (vendors.test.ts) nor what an incident makes of a look.
 */

const VENDORS = ["supabase", "fly", "vercel", "sentry", "doppler"] as const;
const WATCHED = [...VENDORS, "http"] as const;
const behave = (kind: string, behaviour: object) => control({ [kind === "http" ? "svc" : kind]: behaviour });

beforeEach(() => control({ reset: true }));

describe.each(WATCHED)("%s", (kind) => {
  it("is healthy when all is well, with a latency", async () => {
    const s = await look(targetOf(kind));
    expect(s).toMatchObject({ status: "healthy", reason: "ok", error: null });
    expect(s.latency_ms).toBeGreaterThanOrEqual(0);
  });
  it("hangs: unknown, unreachable, one try only", async () => {
    await behave(kind, { mode: "hang" });
    const began = Date.now();
    const s = await look(targetOf(kind), { deadline_ms: 700 });
    expect(s).toMatchObject({ status: "unknown", reason: "unreachable", signal: "timeout", latency_ms: null });
    expect(Date.now() - began).toBeLessThan(1_500);
    const paths = (await ledger()).map((r) => r.path);
    expect(new Set(paths).size).toBe(paths.length);
    expect(paths.length).toBeGreaterThan(0);
  });
  it("hangs within the body: the same", async () => {
    await behave(kind, { mode: "hang_body" });
    expect(await look(targetOf(kind), { deadline_ms: 700 })).toMatchObject({
      status: "unknown",
      reason: "unreachable",
      signal: "timeout",
    });
  });
  it("resets the connection: unreachable after one retry", async () => {
    await behave(kind, { mode: "reset" });
    const s = await look(targetOf(kind));
    expect(s).toMatchObject({ status: "unknown", reason: "unreachable", signal: "network", latency_ms: null });
    const tries = (await ledger()).filter((r) => r.path === (kind === "supabase" ? "/auth/v1/health" : r.path));
    expect(tries.length).toBe(kind === "sentry" ? 6 : 2);
  });
  it("resets once: the retry sees it healthy", async () => {
    await behave(kind, { mode: "reset_once" });
    expect(await look(targetOf(kind))).toMatchObject({ status: "healthy", reason: "ok" });
  });
  it("says 503 twice: unhealthy", async () => {
    await behave(kind, { mode: "5xx" });
    const s = await look(targetOf(kind));
    expect(s).toMatchObject({ status: "unhealthy", reason: "service_unhealthy" });
    expect(s.error).toMatch(/503/);
    const rows = await ledger();
    expect(rows.length).toBe(kind === "sentry" ? 6 : kind === "supabase" ? 4 : 2);
  });
  it("says 502 once: the retry sees it healthy", async () => {
    await behave(kind, { mode: "5xx_once" });
    expect(await look(targetOf(kind))).toMatchObject({ status: "healthy", reason: "ok" });
  });
  it.each(["401", "403"])("says %s: the credential is refused, at the first try", async (code) => {
    await behave(kind, { mode: code });
    const s = await look(targetOf(kind));
    expect(s).toMatchObject({ status: "unhealthy", reason: "auth_failed" });
    expect(s.error).toContain(code);
    expect((await ledger()).length).toBe(kind === "sentry" ? 3 : kind === "supabase" ? 2 : 1);
  });
  it("says 404: misconfigured", async () => {
    await behave(kind, { mode: "404" });
    expect(await look(targetOf(kind))).toMatchObject({ status: "degraded", reason: "misconfigured" });
  });
  it("says 429: unknown, with the wait it asked for", async () => {
    await behave(kind, { mode: "429", retry_after: "11" });
    expect(await look(targetOf(kind))).toMatchObject({
      status: "unknown",
      reason: "rate_limited",
      retry_after_ms: 11_000,
      latency_ms: null,
    });
  });
});

describe.each(VENDORS)("%s answers in an unknown form", (kind) => {
  it.each(["garbage", "text", "html", "empty", "huge"])("%s: schema drift, a warning, no throw", async (mode) => {
    await behave(kind, { mode });
    const s = await look(targetOf(kind));
    expect(s).toMatchObject({ status: "degraded", reason: "schema_drift" });
    expect(s.error).toMatch(/answered, but/);
  });
});

describe.each(VENDORS)("%s without a credential", (kind) => {
  it("is unknown, names the bindings, calls nobody", async () => {
    const target = targetOf(kind);
    const s = await look(target, {}, {});
    expect(s).toMatchObject({ status: "unknown", reason: "not_configured", latency_ms: null });
    for (const binding of Object.values(target.credentials)) expect(s.error).toContain(binding);
    expect(await ledger()).toEqual([]);
  });
  it("does not send one that a header can't carry: the runtime would print it", async () => {
    const target = targetOf(kind);
    const [binding] = Object.values(target.credentials) as [string];
    for (const value of ["t\u00f6ken-9931aa", "token-9931aa\r\nx-injected: 1"]) {
      const s = await look(target, {}, { ...SECRETS, [binding]: value });
      expect(s).toMatchObject({ status: "unknown", reason: "not_configured", details: { unusable: [binding] } });
      expect(JSON.stringify(s)).not.toContain("9931aa");
    }
    expect(await ledger()).toEqual([]);
  });
  it("counts blank as missing", async () => {
    const blank = Object.fromEntries(Object.keys(SECRETS).map((name) => [name, "  "]));
    expect(await look(targetOf(kind), {}, blank)).toMatchObject({ status: "unknown", reason: "not_configured" });
  });
});

describe("credentials in what vendors say", () => {
  const planted = Object.values(SECRETS).flatMap((v) => [v, v.replace(/^FlyV1 /, "")]);
  /** Written forms of a secret, made here by other means than the redactor's. */
  const forms = (secret: string): string[] => {
    const bytes = new TextEncoder().encode(secret);
    const raw = String.fromCharCode(...bytes);
    const core = btoa(raw).replaceAll("=", "");
    return [
      secret,
      core.slice(0, -2),
      core.slice(0, -2).replaceAll("+", "-").replaceAll("/", "_"),
      btoa(`x${raw}x`).slice(4, -8),
      btoa(`xy${raw}xy`).slice(4, -8),
      encodeURIComponent(secret),
      encodeURIComponent(encodeURIComponent(secret)),
      JSON.stringify(secret).slice(1, -1),
      [...bytes].map((b) => b.toString(16).padStart(2, "0")).join(""),
    ];
  };
  const shown = (value: unknown): string => {
    const text = JSON.stringify(value);
    return `${text}\n${(JSON.parse(text) as { error: string | null }).error ?? ""}`;
  };
  const own: Record<string, string> = {
    supabase: "db_unhealthy",
    fly: "critical_check",
    vercel: "latest_error",
    sentry: "new_issue",
    doppler: "ok",
  };

  it.each(
    VENDORS.flatMap((kind) =>
      ["401", "404", "429", "5xx", "garbage", "text", "html", own[kind]!].map((mode) => [kind, mode] as const),
    ),
  )("%s, %s: none of their forms is in the snapshot", async (kind, mode) => {
    await control({ [kind]: { mode }, echo_auth: true });
    const text = shown(await look(targetOf(kind)));
    for (const secret of planted) for (const form of forms(secret)) expect(text).not.toContain(form);
  });
  it("the stand-in really repeats them (or the test above would prove nothing)", async () => {
    await control({ fly: { mode: "401" }, echo_auth: true });
    const body = await (
      await fetch(`${CONFIG["fly"]!["api_url"]}/v1/apps/a/machines`, {
        headers: { authorization: "Bearer planted-token-1" },
      })
    ).text();
    for (const form of ["planted-token-1", btoa("planted-token-1"), btoa("Bearer planted-token-1")])
      expect(body).toContain(form);
  });
  it("what is left of the words is still readable", async () => {
    await control({ fly: { mode: "401" }, echo_auth: true });
    const s = await look(targetOf("fly"));
    expect(s.error).toContain("HTTP 401 from Fly (app web): stand-in says 401");
    expect(s.error).toContain("<REDACTED>");
  });
});

describe("how credentials travel", () => {
  it("supabase keys go in `apikey` only, the management token as Bearer", async () => {
    await look(targetOf("supabase"));
    const rows = await ledger();
    const data = rows.find((r) => r.path === "/auth/v1/health")!;
    expect(data.headers).toContain("apikey");
    expect(data.headers).not.toContain("authorization");
    expect(rows.find((r) => r.path.startsWith("/v1/projects"))).toMatchObject({ scheme: "Bearer" });
  });
  it("a Fly token that names its own scheme keeps it; another is a bearer", async () => {
    await look(targetOf("fly"));
    await look(targetOf("fly"), {}, { REVEILLE_FLY_API_TOKEN: "fo1_oldformtoken" });
    expect((await ledger()).map((r) => r.scheme)).toEqual(["FlyV1", "Bearer"]);
  });
  it("a target's own binding is used in place of the default", async () => {
    const target = targetOf("fly", {}, { credentials: { token: "WATCH_FLY_B" } });
    expect(await look(target, {}, { WATCH_FLY_B: "fly-token-of-b" })).toMatchObject({ status: "healthy" });
    expect((await look(target)).error).toContain("WATCH_FLY_B");
  });
});
