import { env } from "cloudflare:workers";
import { beforeEach, describe, expect, inject, it } from "vitest";
import { type BeatKind, readBeat, recordBeat } from "../../src/watch/heartbeat.store";
import { fitDetails, lookAt } from "../../src/watch/look";
import type { Target } from "../../src/watch/types";
import { control, ledger, look, runtimeWith, targetOf, vendors } from "./probe-kit";

/** Proves http, tcp, heartbeat and internal targets, and what the runner of looks does around every probe. */

const HOUR = 3_600_000;
beforeEach(() => control({ reset: true }));
const http = (path: string, config: Record<string, unknown> = {}, more?: Record<string, unknown>) =>
  targetOf("http", { url: `${vendors}/svc${path}`, ...config }, more);

describe("http", () => {
  it.each<[string, string, Record<string, unknown>, object]>([
    ["keyword found", "/ok", { keyword: "all systems" }, { status: "healthy" }],
    [
      "keyword missing",
      "/ok",
      { keyword: "nominal" },
      { status: "unhealthy", reason: "service_unhealthy", signal: "keyword_missing" },
    ],
    ["keyword absent", "/ok", { keyword_absent: "error" }, { status: "healthy" }],
    ["keyword present", "/ok", { keyword_absent: "systems" }, { status: "unhealthy", signal: "keyword_present" }],
    ["json value", "/json", { json_path: "$.status", json_equals: "ok" }, { status: "healthy" }],
    [
      "json object, keys in any order",
      "/json",
      { json_path: "checks[0].extra", json_equals: { b: [2], a: 1 } },
      { status: "healthy" },
    ],
    [
      "json differs",
      "/json",
      { json_path: "checks[0].state", json_equals: "down" },
      { status: "unhealthy", signal: "json_mismatch" },
    ],
    [
      "json path missing",
      "/json",
      { json_path: "checks[7].state", json_equals: "up" },
      { status: "unhealthy", signal: "json_mismatch" },
    ],
    [
      "json path into a prototype",
      "/json",
      { json_path: "constructor.name", json_equals: "Object" },
      { status: "unhealthy", signal: "json_mismatch" },
    ],
    ["not json", "/ok", { json_path: "status", json_equals: "ok" }, { status: "unhealthy", signal: "json_mismatch" }],
    ["an expected 503", "/status/503", { expected_status: 503 }, { status: "healthy" }],
    ["an expected class", "/status/418", { expected_status: ["4xx", 200] }, { status: "healthy" }],
    ["unexpected 200", "/ok", { expected_status: [204] }, { status: "unhealthy", signal: "unexpected_status" }],
    [
      "400 of a service",
      "/status/400",
      {},
      { status: "unhealthy", reason: "service_unhealthy", signal: "unexpected_status" },
    ],
    ["418", "/status/418", {}, { status: "unhealthy", signal: "unexpected_status" }],
    ["HEAD", "/ok", { method: "HEAD" }, { status: "healthy" }],
    ["slow", "/slow?ms=120", { latency_ms: 50 }, { status: "degraded", signal: "slow" }],
    ["quick enough", "/ok", { latency_ms: 5_000 }, { status: "healthy" }],
    ["redirect followed", "/redirect", {}, { status: "healthy", details: { http_status: 200 } }],
    [
      "redirect not followed",
      "/redirect",
      { follow_redirects: false },
      { status: "unhealthy", signal: "unexpected_status", details: { http_status: 302 } },
    ],
    ["redirect expected", "/redirect", { follow_redirects: false, expected_status: [302] }, { status: "healthy" }],
    [
      "redirect to a private address",
      "/redirect?to=http%3A%2F%2F169.254.169.254%2Flatest%2F",
      {},
      { status: "degraded", reason: "misconfigured", signal: "private_address" },
    ],
    [
      "redirect to another scheme",
      "/redirect?to=file%3A%2F%2F%2Fetc%2Fpasswd",
      {},
      { status: "degraded", reason: "misconfigured", signal: "bad_url" },
    ],
  ])("%s", async (_, path, config, expected) => {
    expect(await look(http(path, config))).toMatchObject(expected);
  });

  it("more than five redirects are misconfigured, five are followed", async () => {
    const chain = (hops: number): string =>
      Array.from({ length: hops }).reduce<string>((to) => `/svc/redirect?to=${encodeURIComponent(to)}`, "/svc/ok");
    expect(await look(targetOf("http", { url: vendors + chain(5) }))).toMatchObject({ status: "healthy" });
    const s = await look(targetOf("http", { url: vendors + chain(6) }));
    expect(s).toMatchObject({ status: "degraded", reason: "misconfigured", signal: "too_many_redirects" });
  });
  it("names the allow-list line when an address is private", async () => {
    const s = await look(targetOf("http", { url: "http://10.1.2.3/" }));
    expect(s).toMatchObject({ status: "degraded", reason: "misconfigured" });
    expect(s.error).toContain("REVEILLE_ALLOW_PRIVATE=10.1.2.3:80");
  });
  it("puts a credential where the header says, and not on the page", async () => {
    const want = "svc-key-77aa88bb99cc";
    const headers = { "x-api-key": "{{key}}" };
    const target = http(`/token?want=${want}`, { headers }, { credentials: { key: "WATCH_SVC_KEY" } });
    const s = await look(target);
    expect(s).toMatchObject({ status: "healthy" });
    expect(JSON.stringify(s)).not.toContain(want);
    expect(await look(target, {}, { WATCH_SVC_KEY: "another-key-000000" })).toMatchObject({ reason: "auth_failed" });
    expect(await look(target, {}, {})).toMatchObject({ status: "unknown", reason: "not_configured" });
  });
  it("keeps no body of a service", async () => {
    await control({ svc: { mode: "html" } });
    const s = await look(http("/x", { keyword: "nope" }));
    expect(JSON.stringify(s)).not.toContain("Maintenance");
    await control({ svc: { mode: "5xx" } });
    expect(JSON.stringify(await look(http("/x")))).not.toContain("stand-in says");
  });
  it("a POST is sent once, whatever comes back", async () => {
    await control({ svc: { mode: "5xx" } });
    expect(await look(http("/x", { method: "POST" }))).toMatchObject({
      status: "unhealthy",
      reason: "service_unhealthy",
    });
    expect((await ledger()).map((r) => r.method)).toEqual(["POST"]);
  });
  it("looks only at the first MiB", async () => {
    await control({ svc: { mode: "huge" } });
    expect(await look(http("/x", { keyword: "not in there" }))).toMatchObject({
      status: "unhealthy",
      signal: "keyword_missing",
      error: expect.stringContaining("1 MiB"),
    });
    expect(await look(http("/x", { json_path: "a", json_equals: 1 }))).toMatchObject({
      status: "unhealthy",
      signal: "json_mismatch",
    });
  });
  it("a port nobody listens on is unreachable", async () => {
    expect(await look(targetOf("http", { url: "http://127.0.0.1:9/" }))).toMatchObject({
      status: "unknown",
      reason: "unreachable",
      signal: "network",
    });
  });
  it("503 and then silence is still 503", async () => {
    await control({ svc: { mode: "5xx" } });
    const pending = look(http("/x"), { deadline_ms: 2_500 });
    await new Promise((r) => setTimeout(r, 250));
    await control({ svc: { mode: "hang" } });
    expect(await pending).toMatchObject({ status: "unhealthy", reason: "service_unhealthy", signal: "http_5xx" });
  });
});

describe("tcp", () => {
  const tcp = (config: Record<string, unknown>) => targetOf("tcp", config);
  it("an open port is healthy", async () => {
    const s = await look(tcp({ host: "127.0.0.1", port: inject("vendorsTcpPort") }));
    expect(s).toMatchObject({ status: "healthy", reason: "ok", error: null });
    expect(s.latency_ms).toBeGreaterThanOrEqual(0);
  });
  it("a closed port is unreachable", async () => {
    expect(await look(tcp({ host: "127.0.0.1", port: 9 }))).toMatchObject({
      status: "unknown",
      reason: "unreachable",
      latency_ms: null,
    });
  });
  it("a private address is refused before any call", async () => {
    const s = await look(tcp({ host: "192.168.1.1", port: 22 }));
    expect(s).toMatchObject({ status: "degraded", reason: "misconfigured", signal: "private_address" });
    expect(s.error).toContain("REVEILLE_ALLOW_PRIVATE=192.168.1.1:22");
  });
});

describe("heartbeat", () => {
  const T = Date.UTC(2026, 10, 1);
  const beats = async (num: number, list: [BeatKind, number][]) => {
    for (const [kind, at] of list) await recordBeat(env.DB, num, kind, at, `note of ${kind}`);
    return readBeat(env.DB, num);
  };
  it("folds start, success and failure", async () => {
    expect(
      await beats(1, [
        ["start", T],
        ["success", T + 5_000],
      ]),
    ).toEqual({
      last_at: T + 5_000,
      last_kind: "success",
      started_at: null,
      ok_at: T + 5_000,
      duration_ms: 5_000,
      note: "note of success",
    });
    expect(
      await beats(1, [
        ["start", T + 9_000],
        ["fail", T + 10_000],
      ]),
    ).toMatchObject({ last_kind: "fail", started_at: null, ok_at: T + 5_000, duration_ms: 1_000 });
    expect(await beats(1, [["start", T + 20_000]])).toMatchObject({
      last_kind: "fail",
      started_at: T + 20_000,
      last_at: T + 20_000,
    });
    expect(await beats(1, [["success", T + 21_000]])).toMatchObject({
      last_kind: "success",
      started_at: null,
      ok_at: T + 21_000,
    });
  });
  it("a beat that was overtaken is dropped", async () => {
    expect(
      await beats(2, [
        ["success", T + 5_000],
        ["fail", T + 4_000],
      ]),
    ).toMatchObject({ last_kind: "success", last_at: T + 5_000 });
  });
  it("keeps one row a target", async () => {
    const before = await env.DB.prepare("SELECT count(*) AS n FROM heartbeat").first<number>("n");
    await beats(3, [
      ["success", T],
      ["success", T + 1],
      ["success", T + 2],
    ]);
    expect(await env.DB.prepare("SELECT count(*) AS n FROM heartbeat").first<number>("n")).toBe(before! + 1);
  });
  it("is looked at through its row", async () => {
    const target: Target = {
      ...targetOf("heartbeat", { period: "1h", grace: "1m" }),
      created_at: Date.now() - 2 * HOUR,
    };
    expect(await look(target)).toMatchObject({ status: "unhealthy", reason: "missed_beat", signal: "never_beaten" });
    await recordBeat(env.DB, target.num, "success", Date.now());
    expect(await look(target)).toMatchObject({ status: "healthy", latency_ms: null });
    await recordBeat(env.DB, target.num, "fail", Date.now(), "exit 2");
    expect(await look(target)).toMatchObject({
      status: "unhealthy",
      reason: "job_failed",
      details: { note: "exit 2" },
    });
  });
});

describe("the runner", () => {
  const broken = { ...targetOf("heartbeat", { period: "1h" }), num: Number.NaN };
  it("a probe that throws is never healthy, and its words are redacted", async () => {
    const db = {
      prepare: () => {
        throw new Error("disk of svc-key-77aa88bb99cc is full");
      },
    } as unknown as D1Database;
    const s = await lookAt({ ...broken, credentials: { key: "WATCH_SVC_KEY" } }, runtimeWith(), db);
    expect(s).toMatchObject({ status: "unknown", reason: "unreachable", signal: "probe_error", latency_ms: null });
    expect(s.error).toContain("<REDACTED> is full");
  });
  it("a probe that never ends is cut at the deadline", async () => {
    const db = { prepare: () => ({ bind: () => ({ first: () => new Promise(() => {}) }) }) } as unknown as D1Database;
    const began = Date.now();
    expect(await lookAt(broken, runtimeWith(), db, { deadline_ms: 300 })).toMatchObject({
      status: "unknown",
      reason: "unreachable",
      signal: "timeout",
    });
    expect(Date.now() - began).toBeLessThan(1_000);
  });
  it("lost memory costs no look, and is not overwritten", async () => {
    let writes = 0;
    const db = {
      prepare: (sql: string) => {
        if (sql.startsWith("INSERT")) writes++;
        throw new Error("D1 is away");
      },
    } as unknown as D1Database;
    expect(await lookAt(targetOf("sentry"), runtimeWith(), db)).toMatchObject({ status: "healthy" });
    expect(writes).toBe(0);
  });
  it("a config that no longer fits is misconfigured with its field", async () => {
    const s = await look({ ...targetOf("fly"), config: { apps: "web" } });
    expect(s).toMatchObject({ status: "degraded", reason: "misconfigured", signal: "bad_config" });
    expect(s.error).toContain("config.apps");
  });
  it("an internal target reads nothing", async () => {
    expect(await look({ ...targetOf("http"), kind: "internal", config: { rule: "cron_alive" } })).toMatchObject({
      status: "unknown",
      reason: "not_configured",
      error: "Internal targets are fed by their rule.",
    });
    expect(await ledger()).toEqual([]);
  });
  it("carries the time the look began, in Reveille time", async () => {
    const before = Date.now();
    const s = await look(http("/slow?ms=80"));
    expect(s.at).toBeGreaterThanOrEqual(before);
    expect(s.at).toBeLessThanOrEqual(Date.now() - 80);
    const fast = await look(http("/ok"), {}, { REVEILLE_CLOCK_RATE: "60" });
    expect(fast.at).toBeGreaterThan(Date.now());
    expect(fast.latency_ms).toBeLessThan(5_000);
  });
  it("details are cut to two KiB whatever they hold", () => {
    const long = {
      texts: Array.from({ length: 50 }, (_, i) => `${i}${"é".repeat(300)}`),
      map: Object.fromEntries(Array.from({ length: 80 }, (_, i) => [`k${i}`, i])),
    };
    const fitted = fitDetails(long);
    expect(new TextEncoder().encode(JSON.stringify(fitted)).length).toBeLessThanOrEqual(2_048);
    expect(fitted["cut"]).toBe(true);
    expect(fitDetails({ a: "x".repeat(900) })).toEqual({ a: `${"x".repeat(199)}…` });
    expect(fitDetails({ a: 1 })).toEqual({ a: 1 });
  });
});
