import { describe, expect, it } from "vitest";
import { ReveilleError } from "../../src/kernel/errors";
import {
  hostsOf,
  idFromName,
  internalTarget,
  parseEvery,
  parseTarget,
  patchTarget,
  targetInput,
  urlsOf,
} from "../../src/watch/target.schema";
import type { Target } from "../../src/watch/types";

/** Proves what the API and the seed accept, and that each refusal names its field. */

function refused(work: () => unknown): ReveilleError {
  try {
    work();
  } catch (error) {
    if (error instanceof ReveilleError) return error;
    throw error;
  }
  throw new Error("was accepted");
}

const http = (config: object = {}, more: object = {}) => ({
  name: "checkout",
  kind: "http",
  config: { url: "https://example.com/", ...config },
  ...more,
});

describe("parseEvery", () => {
  it.each<[unknown, number]>([
    ["1m", 60],
    ["90s", 90],
    ["5m", 300],
    ["1h", 3_600],
    ["1d", 86_400],
    ["1.5m", 90],
    [" 2M ", 120],
    ["300", 300],
    [300, 300],
  ])("%o", (given, seconds) => expect(parseEvery(given)).toBe(seconds));
  it.each<[unknown]>([
    ["59s"],
    ["25h"],
    ["2d"],
    [0],
    [-60],
    [60.5],
    ["1w"],
    ["m"],
    [""],
    [null],
    [undefined],
    [Number.NaN],
    [{}],
    ["1m30s"],
  ])("refuses %o", (given) => {
    const error = refused(() => parseEvery(given));
    expect(error).toMatchObject({ status: 400, code: "bad_span", field: "every" });
    expect(error.hint).toBeTruthy();
  });
});

describe("accepted", () => {
  it("the body of the first ten minutes: a URL at the top", () => {
    expect(parseTarget({ name: "checkout", kind: "http", url: "https://example.com/", every: "1m" })).toEqual({
      name: "checkout",
      kind: "http",
      every: 60,
      paused: false,
      thresholds: {},
      credentials: {},
      config: {
        url: "https://example.com/",
        method: "GET",
        headers: {},
        expected_status: ["2xx"],
        follow_redirects: true,
      },
    });
  });
  it.each<[string, object, object]>([
    [
      "supabase",
      { ref: "abcdefghijklmnopqrst" },
      { token: "REVEILLE_SUPABASE_ACCESS_TOKEN", key: "REVEILLE_SUPABASE_KEY" },
    ],
    ["fly", { apps: ["web"] }, { token: "REVEILLE_FLY_API_TOKEN" }],
    ["vercel", {}, { token: "REVEILLE_VERCEL_API_TOKEN" }],
    ["sentry", { org: "acme" }, { token: "REVEILLE_SENTRY_API_TOKEN" }],
    ["doppler", {}, { token: "REVEILLE_DOPPLER_API_TOKEN" }],
    ["tcp", { host: "db.example.com", port: 5432 }, {}],
    ["tcp", { host: "[2001:db8::1]", port: 5432 }, {}],
    ["heartbeat", { period: "1d", grace: "30m" }, {}],
    ["heartbeat", { cron: "0 3 * * *", zone: "Europe/Berlin" }, {}],
  ])("%s %o with its default credentials; reading the result again changes nothing", (kind, config, credentials) => {
    const target = parseTarget({ name: "x", kind, config });
    expect(target.credentials).toEqual(credentials);
    expect(parseTarget(structuredClone(target))).toEqual(target);
  });
  it("supabase fills the project URL from its reference", () => {
    expect(parseTarget({ name: "db", kind: "supabase", config: { ref: "abc" } }).config).toMatchObject({
      url: "https://abc.supabase.co",
      management_url: "https://api.supabase.com",
    });
  });
  it("a credential in a header, and one named for a role", () => {
    const target = parseTarget(
      http({ headers: { authorization: "Bearer {{token}}" } }, { credentials: { token: "WATCH_CHECKOUT" } }),
    );
    expect(target.credentials).toEqual({ token: "WATCH_CHECKOUT" });
    expect(
      parseTarget({ name: "f", kind: "fly", config: { apps: ["a"] }, credentials: { token: "WATCH_FLY_2" } })
        .credentials,
    ).toEqual({ token: "WATCH_FLY_2" });
  });
});

describe("refused, with the field", () => {
  it.each<[string, unknown, string, RegExp]>([
    ["no body", null, "", /./],
    ["no kind", { name: "x", config: {} }, "kind", /must be one of supabase, fly/],
    ["internal", { name: "x", kind: "internal", config: { rule: "r" } }, "kind", /must be one of/],
    ["unknown key", http({}, { colour: "red" }), "colour", /not known/],
    ["unknown config key", http({ methd: "GET" }), "config.methd", /not known/],
    ["bad id", http({}, { id: "No Caps" }), "id", /lower-case/],
    ["long id", http({}, { id: "a".repeat(64) }), "id", /63/],
    ["empty name", http({}, { name: "  " }), "name", /empty/],
    ["direction mark in a name", http({}, { name: "a\u202Eb" }), "name", /direction/],
    ["too often", http({}, { every: "30s" }), "every", /from 1m to 1d/],
    ["threshold 0", http({}, { thresholds: { confirm: 0 } }), "thresholds.confirm", /./],
    ["threshold 11", http({}, { thresholds: { confirm_unreachable: 11 } }), "thresholds.confirm_unreachable", /./],
    ["threshold 1.5", http({}, { thresholds: { recover: 1.5 } }), "thresholds.recover", /./],
    ["unknown threshold", http({}, { thresholds: { confirms: 2 } }), "thresholds.confirms", /not known/],
    ["paused text", http({}, { paused: "yes" }), "paused", /./],
    ["no url", { name: "x", kind: "http", config: {} }, "config.url", /./],
    ["relative url", http({ url: "/health" }), "config.url", /absolute/],
    ["ftp url", http({ url: "ftp://example.com/" }), "config.url", /http or https/],
    ["password in a url", http({ url: "https://u:p@example.com/" }), "config.url", /user name or password/],
    ["method", http({ method: "PUT" }), "config.method", /./],
    ["status", http({ expected_status: ["6xx"] }), "config.expected_status.0", /2xx/],
    ["latency above the deadline", http({ latency_ms: 9_000 }), "config.latency_ms", /./],
    ["json_path alone", http({ json_path: "a" }), "config.json_equals", /together/],
    ["bad json_path", http({ json_path: "a..b", json_equals: 1 }), "config.json_path", /path such as/],
    ["keyword with HEAD", http({ method: "HEAD", keyword: "ok" }), "config.method", /no body/],
    [
      "literal secret header",
      http({ headers: { Authorization: "Bearer abc" } }),
      "config.headers.Authorization",
      /\{\{token\}\}/,
    ],
    ["host header", http({ headers: { host: "x" } }), "config.headers.host", /connection/],
    ["line break in a header", http({ headers: { "x-a": "b\r\nc: d" } }), "config.headers.x-a", /ASCII/],
    ["role without a binding", http({ headers: { "x-key": "{{token}}" } }), "config.headers.x-key", /no "token"/],
    [
      "our own secret",
      http({}, { credentials: { token: "REVEILLE_OPERATOR_TOKEN" } }),
      "credentials.token",
      /REVEILLE_OPERATOR_TOKEN .*WATCH_/s,
    ],
    ["our slack token", http({}, { credentials: { token: "SLACK_BOT_TOKEN" } }), "credentials.token", /WATCH_/],
    [
      "unknown role",
      { name: "f", kind: "fly", config: { apps: ["a"] }, credentials: { tokn: "WATCH_A" } },
      "credentials.tokn",
      /not known/,
    ],
    ["no apps", { name: "f", kind: "fly", config: { apps: [] } }, "config.apps", /at least one/],
    ["app with a slash", { name: "f", kind: "fly", config: { apps: ["../x"] } }, "config.apps.0", /plain name/],
    ["no org", { name: "s", kind: "sentry", config: {} }, "config.org", /./],
    ["port 0", { name: "t", kind: "tcp", config: { host: "a.example", port: 0 } }, "config.port", /./],
    [
      "host with a port",
      { name: "t", kind: "tcp", config: { host: "a.example:1", port: 1 } },
      "config.host",
      /without a port/,
    ],
    ["no schedule", { name: "h", kind: "heartbeat", config: {} }, "config.period", /either period/],
    [
      "two schedules",
      { name: "h", kind: "heartbeat", config: { period: "1d", cron: "* * * * *" } },
      "config.period",
      /not both/,
    ],
    ["bad cron", { name: "h", kind: "heartbeat", config: { cron: "61 * * * *" } }, "config.cron", /can't be read/],
    [
      "cron in the past",
      { name: "h", kind: "heartbeat", config: { cron: "0 0 30 2 *" } },
      "config.cron",
      /never comes due/,
    ],
    [
      "bad zone",
      { name: "h", kind: "heartbeat", config: { cron: "0 3 * * *", zone: "Mars/Base" } },
      "config.zone",
      /no time zone/,
    ],
    ["bad grace", { name: "h", kind: "heartbeat", config: { period: "1d", grace: "8d" } }, "config.grace", /from/],
  ])("%s", (_, body, field, words) => {
    const error = refused(() => parseTarget(body));
    expect(error.status).toBe(400);
    expect(error.field ?? "").toBe(field);
    expect(error.message).toMatch(words);
  });

  it("does not repeat what may be a pasted secret", () => {
    const error = refused(() => parseTarget(http({}, { credentials: { token: "sk_live_51Hx9secretvalue" } })));
    expect(JSON.stringify(error.toBody())).not.toContain("51Hx9");
    expect(error.message).toMatch(/WATCH_/);
  });
});

const stored: Target = {
  num: 1,
  id: "checkout",
  name: "checkout",
  kind: "http",
  every_s: 60,
  config: {
    url: "https://example.com/",
    method: "GET",
    headers: {},
    expected_status: ["2xx"],
    keyword: "ok",
    follow_redirects: true,
  },
  credentials: {},
  thresholds: { confirm: 2 },
  paused: false,
  muted_until: null,
  source: "api",
  created_at: 0,
  updated_at: 0,
};

describe("patch", () => {
  it("replaces key by key, and null removes", () => {
    const next = patchTarget(stored, {
      every: "5m",
      config: { keyword: null, latency_ms: 500 },
      thresholds: { recover: 3 },
    });
    expect(next).toMatchObject({ every: 300, thresholds: { confirm: 2, recover: 3 }, config: { latency_ms: 500 } });
    expect(next.config).not.toHaveProperty("keyword");
  });
  it("an empty patch is the target itself", () => {
    expect(patchTarget(stored, {})).toMatchObject({
      id: "checkout",
      every: 60,
      config: stored.config,
      thresholds: { confirm: 2 },
    });
  });
  it.each<[unknown, string]>([
    [{ kind: "tcp" }, "kind"],
    [{ id: "other" }, "id"],
    [{ colour: 1 }, "colour"],
    [{ config: { url: null } }, "config.url"],
    [{ config: { headers: { cookie: "a=b" } } }, "config.headers.cookie"],
    [{ credentials: { token: "REVEILLE_SESSION_KEY" } }, "credentials.token"],
    [{ every: "1s" }, "every"],
    [[], ""],
  ])("%o is refused at %s", (body, field) => expect(refused(() => patchTarget(stored, body)).field ?? "").toBe(field));
});

describe("addresses and ids", () => {
  it("lists every address an operator gave", () => {
    expect(urlsOf(parseTarget({ name: "d", kind: "supabase", config: { ref: "a", url: "http://10.0.0.1/" } }))).toEqual(
      [
        { field: "config.url", url: "http://10.0.0.1" },
        { field: "config.management_url", url: "https://api.supabase.com" },
      ],
    );
    expect(
      urlsOf(parseTarget({ name: "s", kind: "sentry", config: { org: "a", base_url: "https://de.sentry.io/" } })),
    ).toEqual([{ field: "config.base_url", url: "https://de.sentry.io" }]);
    expect(hostsOf(parseTarget({ name: "t", kind: "tcp", config: { host: "10.0.0.1", port: 22 } }))).toEqual([
      { field: "config.host", host: "10.0.0.1", port: "22" },
    ]);
  });
  it.each([
    ["Checkout (EU)", "checkout-eu"],
    ["Überwachung №1", "uberwachung-no1"],
    ["日本", "target"],
    ["--", "target"],
    ["a".repeat(90), "a".repeat(63)],
  ])("%s → %s", (text, id) => {
    expect(idFromName(text)).toBe(id);
    expect(targetInput.safeParse(http({}, { id })).success).toBe(true);
  });
  it("internal targets have a schema of their own", () => {
    expect(internalTarget.parse({ name: "cron", kind: "internal", config: { rule: "cron_alive" } })).toMatchObject({
      config: { rule: "cron_alive" },
    });
  });
});
