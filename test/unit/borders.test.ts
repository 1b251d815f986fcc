import { describe, expect, it } from "vitest";
import { ReveilleError } from "../../src/kernel/errors";
import { checkHost, isPrivateHost, parseAllowList } from "../../src/kernel/net-guard";
import { composeSummary, type IncidentFacts } from "../../src/notify";
import { type GateFacts, gate } from "../../src/notify/gate";
import { dueTargets, overdue } from "../../src/watch/due";
import { parseTarget } from "../../src/watch/target.schema";
import type { DueRow } from "../../src/watch/target.store";
import { verdictOfCycle } from "../../src/watch/watcher";

/** Proves what must not cross a border: private hosts in odd notations, literal secrets in a target, noise in a mute. */

const MIN = 60_000;
const T0 = Date.UTC(2026, 10, 20, 13);

const codeOf = (work: () => unknown): string => {
  try {
    work();
    return "accepted";
  } catch (error) {
    if (error instanceof ReveilleError) return error.code;
    throw error;
  }
};

describe("a bare host is judged as the resolver reads it", () => {
  it.each([
    "127.1",
    "127.0.1",
    "0177.0.0.1",
    "0x7f.0.0.1",
    "0x7f.1",
    "2130706433",
    "0x7f000001",
    "017700000001",
    "012.1.2.3",
    "0300.0250.1.1",
    "169.254.43518",
    "10.1",
    "LOCALHOST",
    "localhost..",
    "metadata.internal.",
    "[::ffff:7f00:1]",
    "[::ffff:0:7f00:1]",
    "[64:ff9b::a00:1]",
    "[64:ff9b:1::a00:1]",
    "[fec0::1]",
    "[::1]",
    "[fd00::1]",
    "::1",
    "fe80::1%eth0",
  ])("%s is refused", (host) => {
    expect(codeOf(() => checkHost(host, "22", []))).toBe("private_address");
  });

  it.each(["1.2.3.4.5", "256.256.256.256", "1.2.3.999", "0x100000000", "a b.example.com", "exa%mple.com"])(
    "%s is no host",
    (host) => {
      expect(codeOf(() => checkHost(host, "22", []))).toMatch(/bad_host|private_address/);
    },
  );

  it.each([
    "example.com",
    "db-1.example.com",
    "_dmarc.example.com",
    "8.8.8.8",
    "134744072",
    "[2606:4700::1111]",
    "2606:4700::1111",
  ])("%s is let through", (host) => {
    expect(codeOf(() => checkHost(host, "22", []))).toBe("accepted");
  });

  it("the allow-list is asked about the host that is reached, whatever way it is written", () => {
    const list = parseAllowList("127.0.0.1:5432, 10.0.0.0/8");
    expect(codeOf(() => checkHost("127.1", "5432", list))).toBe("accepted");
    expect(codeOf(() => checkHost("127.1", "22", list))).toBe("private_address");
    expect(codeOf(() => checkHost("012.1.2.3", "22", list))).toBe("accepted");
    expect(isPrivateHost("localhost..")).toBe(true);
  });
});

describe("a literal secret is refused where it would be stored and shown", () => {
  const http = (config: object, more: object = {}) =>
    codeOf(() => parseTarget({ name: "x", kind: "http", config: { url: "https://example.com/", ...config }, ...more }));

  it.each([
    "token",
    "access_token",
    "api_key",
    "apikey",
    "key",
    "X-Api-Key",
    "secret",
    "client_secret",
    "password",
    "sig",
    "signature",
    "auth",
  ])("?%s= in a URL", (name) => {
    expect(http({ url: `https://example.com/health?a=1&${name}=s3cr3t-value-1` })).toBe("bad_target");
    // The message names the parameter and never its value.
    try {
      parseTarget({ name: "x", kind: "http", config: { url: `https://example.com/?${name}=s3cr3t-value-1` } });
    } catch (error) {
      expect(JSON.stringify((error as ReveilleError).toBody())).not.toContain("s3cr3t-value-1");
      expect((error as ReveilleError).field).toBe("config.url");
    }
  });

  it("an API base with one", () => {
    expect(
      codeOf(() =>
        parseTarget({
          name: "x",
          kind: "fly",
          config: { apps: ["a"], api_url: "https://example.com/?token=abcdefgh" },
        }),
      ),
    ).toBe("bad_target");
  });

  it("a harmless query stays allowed, and a role in place of the value too", () => {
    expect(http({ url: "https://example.com/search?q=keyboard&monkey=1&page=2" })).toBe("accepted");
    expect(http({ url: "https://example.com/?token={{token}}" }, { credentials: { token: "WATCH_X" } })).toBe(
      "accepted",
    );
    expect(http({ url: "https://example.com/?token={{token}}" })).toBe("bad_target");
  });

  it.each([
    "PRIVATE-TOKEN",
    "x-token",
    "x-client-secret",
    "x-shopify-access-token",
    "x-vercel-protection-bypass",
    "x-auth",
    "authentication",
  ])("header %s", (name) => {
    expect(http({ headers: { [name]: "s3cr3t-value-1" } })).toBe("bad_target");
    expect(http({ headers: { [name]: "{{token}}" } }, { credentials: { token: "WATCH_X" } })).toBe("accepted");
  });
  it.each(["accept", "x-request-id", "x-tenant", "x-author", "cache-control"])("header %s is no secret", (name) => {
    expect(http({ headers: { [name]: "value" } })).toBe("accepted");
  });
});

describe("who hears of it", () => {
  const facts = (more: Partial<GateFacts>): GateFacts => ({
    event: "opened",
    severity: "critical",
    rehearsal: false,
    now: T0,
    resolved: false,
    muted_until: null,
    digest: false,
    last_sent_at: null,
    debounce_ms: 600_000,
    bypass_critical: false,
    earlier_in_burst: 0,
    deferred: false,
    incident_was_pushed: false,
    ...more,
  });

  it.each(["opened", "raised", "recovered", "flapping", "settled", "reminder", "summary", "digest"] as const)(
    "a mute holds %s",
    (event) => {
      expect(gate(facts({ event, muted_until: T0 + MIN, incident_was_pushed: true }))).toEqual({
        type: "inbox",
        why: "muted",
      });
    },
  );
  it("a mute does not hold the test notice an operator asks for", () => {
    expect(gate(facts({ event: "test", muted_until: T0 + MIN }))).toEqual({ type: "push" });
  });
});

describe("a summary of recoveries", () => {
  const fact = (i: number, resolved: boolean): IncidentFacts => ({
    id: `i${i}`,
    target_id: `t${i}`,
    target_name: `shop-${i}`,
    kind: "http",
    category: "service_unhealthy",
    severity: "critical",
    title: `shop-${i}: no answer`,
    detail: "",
    rehearsal: false,
    first_bad_at: T0 - 10 * MIN,
    opened_at: T0 - 9 * MIN,
    confirmed_by: "2 of 2 looks",
    acked_at: null,
    acked_by: null,
    snooze_until: null,
    resolved_at: resolved ? T0 - MIN : null,
    resolution: resolved ? "recovered" : null,
    flapping: false,
    cost_usd: 0,
    first_snapshot: '{"status":"unhealthy"}',
    last_snapshot: '{"status":"unhealthy"}',
  });
  const frame = { id: "n1", at: T0, publicUrl: "http://reveille.test" };

  it("does not read as an alarm", () => {
    const n = composeSummary({ ...frame, incidents: [fact(1, true), fact(2, true), fact(3, true)] });
    expect(n.title).toBe("● 3 incidents over: shop-1, shop-2, shop-3");
    expect(n.severity).toBe("info");
    expect(n.body).not.toContain("They opened");
  });
  it("still alarms while one of them is open", () => {
    const n = composeSummary({ ...frame, incidents: [fact(1, true), fact(2, false)] });
    expect(n.title).toBe("■ 2 incidents at once: shop-1, shop-2");
    expect(n.severity).toBe("critical");
  });
});

describe("times that lie ahead of a clock that was set back", () => {
  const row = (more: Partial<DueRow>): DueRow => ({
    num: 1,
    id: "a",
    kind: "http",
    every_s: 300,
    paused: 0,
    phase: "steady",
    status: "healthy",
    reason: "ok",
    not_before: null,
    next_look_at: null,
    ...more,
  });
  const DAY = 86_400_000;

  it("hold back no look longer than a widened interval can be", () => {
    const due = (not_before: number): number => dueTargets([row({ not_before })], T0 - 10 * MIN, T0).length;
    expect(due(T0 + 20 * MIN)).toBe(0);
    expect(due(T0 + DAY)).toBe(1);
  });
  it("count as a lost alarm", () => {
    const open = (next_look_at: number | null): DueRow => row({ phase: "open", next_look_at });
    expect(overdue([open(T0 + DAY)], T0, 2 * MIN)).toHaveLength(1);
    expect(overdue([open(T0 + 30 * MIN)], T0, 2 * MIN)).toHaveLength(0);
    // Nobody would ever look at it again.
    expect(overdue([open(null)], T0, 2 * MIN)).toHaveLength(1);
    expect(overdue([row({})], T0, 2 * MIN)).toHaveLength(0);
  });
  it("are not taken for a cycle that has just finished", () => {
    expect(verdictOfCycle(T0 - MIN, T0).silent).toBe(false);
    expect(verdictOfCycle(T0 - 10 * MIN, T0).silent).toBe(true);
    expect(verdictOfCycle(T0 + DAY, T0).silent).toBe(true);
    expect(verdictOfCycle(0, T0).silent).toBe(false);
  });
});
