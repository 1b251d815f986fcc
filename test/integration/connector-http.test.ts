import { createExecutionContext } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { beforeAll, describe, expect, inject, it } from "vitest";
import { app } from "../../src/edge/app";
import { readGateway } from "../../src/gateway";
import {
  api,
  audited,
  BASE,
  dump,
  edge,
  form,
  fresh,
  newGateway,
  newTenant,
  OPERATOR,
  post,
  send,
  tenantToken,
  upgradeToken,
} from "./connector-kit";

/**
 * The routes a gateway or its tool calls (hermes-relay §5) through the Worker's own fetch handler, with real D1 and
 * objects.
 */

let tenant: string;
let other: string;
let token: string;
let foreign: string;

beforeAll(async () => {
  [tenant, other] = [await newTenant(), await newTenant()];
  [token, foreign] = [await tenantToken(tenant), await tenantToken(other)];
});

const ask = (gatewayId: string, more: Record<string, unknown> = {}) => ({
  gatewayId,
  platform: "slack",
  botId: "B07",
  gatewayEndpoint: "",
  routeKeys: [],
  ...more,
});
const provision = (gatewayId: string, more: Record<string, unknown> = {}, bearer: string | null = token) =>
  post("/relay/provision", bearer, ask(gatewayId, more));

describe("/oauth/token", () => {
  it("gives a client a token, by form or by Basic", async () => {
    const made = await api<{ client: { client_id: string }; client_secret: string; env: string }>("POST", "/clients", {
      tenant,
      name: "boot",
    });
    const { client, client_secret } = made.json;
    expect(made.json.env).toContain(`GATEWAY_RELAY_IDP_CLIENT_ID=${client.client_id}`);
    const said = await form({ grant_type: "client_credentials", client_id: client.client_id, client_secret });
    expect(said).toMatchObject({ status: 200, json: { token_type: "Bearer", expires_in: 3600 } });
    expect(said.headers.get("cache-control")).toBe("no-store");
    const basic = await form(
      { grant_type: "client_credentials" },
      { authorization: `Basic ${btoa(`${client.client_id}:${encodeURIComponent(client_secret)}`)}` },
    );
    expect(basic.status).toBe(200);
    // Only hashes are kept.
    expect(await dump("tenant_client", "audit")).not.toContain(client_secret);
  });

  it("refuses in OAuth's words", async () => {
    const client = (await api<{ client: { client_id: string } }>("POST", "/clients", { tenant, name: "x" })).json
      .client;
    const credentials = { client_id: client.client_id, client_secret: "wrong" };
    expect(await form({ grant_type: "password", ...credentials })).toMatchObject({
      status: 400,
      json: { error: "unsupported_grant_type" },
    });
    for (const bad of [credentials, { ...credentials, client_id: "nobody" }, {}]) {
      const said = await form({ grant_type: "client_credentials", ...bad });
      expect(said).toMatchObject({ status: 401, json: { error: "invalid_client" } });
      expect(said.headers.get("www-authenticate")).toContain("Basic");
    }
    expect((await send("/oauth/token")).status).toBe(405);
  });

  it("ends a client's tokens with the client", async () => {
    const made = await api<{ client: { client_id: string }; client_secret: string }>("POST", "/clients", {
      tenant,
      name: "gone",
    });
    const { client_id } = made.json.client;
    const fields = { grant_type: "client_credentials", client_id, client_secret: made.json.client_secret };
    const access = String((await form(fields)).json["access_token"]);
    expect((await provision(fresh("gw"), {}, access)).status).toBe(200);
    expect((await api("POST", `/clients/${client_id}/revoke`)).status).toBe(200);
    expect(await provision(fresh("gw"), {}, access)).toMatchObject({
      status: 401,
      json: { error: "identity not verified" },
    });
    expect((await form(fields)).status).toBe(401);
    expect((await api("POST", `/clients/${client_id}/revoke`)).status).toBe(404);
  });

  it("stops guessing from one address", async () => {
    const tries = Array.from({ length: 25 }, () =>
      form(
        { grant_type: "client_credentials", client_id: "a", client_secret: "b" },
        { "cf-connecting-ip": "10.77.0.1" },
      ),
    );
    const statuses = (await Promise.all(tries)).map((t) => t.status);
    expect(new Set(statuses)).toEqual(new Set([401, 429]));
  });
});

describe("identity tokens", () => {
  it("are refused when they are changed, expired, unsigned, or none", async () => {
    const [head, body, sig] = token.split(".") as [string, string, string];
    const b64 = (v: unknown): string =>
      btoa(JSON.stringify(v)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
    const claims = JSON.parse(atob(body.replaceAll("-", "+").replaceAll("_", "/"))) as Record<string, unknown>;
    const bad = [
      null,
      "",
      "x",
      "a.b.c",
      `${head}.${body}.`,
      `${head}.${body}.${sig[0] === "A" ? "B" : "A"}${sig.slice(1)}`,
      `${head}.${b64({ ...claims, tid: other })}.${sig}`,
      `${b64({ alg: "none" })}.${body}.`,
      `${b64({ alg: "none" })}.${body}.${sig}`,
      `${b64({ alg: "RS256" })}.${body}.${sig}`,
      await upgradeToken("someone", "secret"),
      OPERATOR,
    ];
    for (const bearer of bad)
      expect(await provision(fresh("gw"), {}, bearer), String(bearer)).toMatchObject({
        status: 401,
        json: { error: "identity not verified" },
      });
  });

  describe("of the operator's own provider", () => {
    const issuer = inject("issuerUrl");
    const oidc = {
      REVEILLE_OIDC_ISSUER: issuer,
      REVEILLE_OIDC_AUDIENCE: "reveille",
      REVEILLE_OIDC_TENANT_CLAIM: "org",
    };
    const at = (s: number): number => Math.floor(Date.now() / 1000) + s;
    const tell = async (path: string, body: unknown = {}): Promise<unknown> =>
      (await fetch(`${issuer}${path}`, { method: "POST", body: JSON.stringify(body) })).json();
    const sign = async (more: Record<string, unknown> = {}, rest: Record<string, unknown> = {}): Promise<string> => {
      const claims = { iss: issuer, aud: "reveille", exp: at(300), sub: "u1", org: tenant, ...more };
      return ((await tell("/_sign", { claims, ...rest })) as { token: string }).token;
    };
    let n = 0;
    const call = async (bearer: string, vars: Record<string, unknown> = oidc) => {
      const request = new Request(`${BASE}/relay/provision`, {
        method: "POST",
        headers: { authorization: `Bearer ${bearer}`, "cf-connecting-ip": `10.10.0.${n++}` },
        body: JSON.stringify(ask(fresh("gw"))),
      });
      const response = await app.fetch(request, { ...edge, ...vars }, createExecutionContext());
      return { status: response.status, json: (await response.json()) as Record<string, unknown> };
    };

    it("prove a tenant by issuer, audience, expiry, key and claim", async () => {
      expect(await call(await sign())).toMatchObject({ status: 200, json: { tenant } });
      expect((await call(await sign({ aud: ["else", "reveille"] }))).status).toBe(200);
      for (const [what, bearer] of Object.entries({
        issuer: await sign({ iss: "https://else.example" }),
        audience: await sign({ aud: "else" }),
        expired: await sign({ exp: at(-120) }),
        "no expiry": await sign({ exp: undefined }),
        "not yet": await sign({ nbf: at(600) }),
        "another key": await sign({}, { by: "stranger" }),
        "unknown tenant": await sign({ org: "nobody" }),
        "no tenant": await sign({ org: undefined }),
      }))
        expect(await call(bearer), what).toMatchObject({ status: 401, json: { error: "identity not verified" } });
      // Not configured, or without an audience, nothing of it counts.
      for (const vars of [{}, { ...oidc, REVEILLE_OIDC_AUDIENCE: "" }])
        expect((await call(await sign(), vars)).status).toBe(401);
    });

    it("is 503, not 401, when the provider's keys can't be read", async () => {
      await tell("/_break", { broken: true });
      // Another spelling of the key set's address, so that no keys are held.
      const vars = { ...oidc, REVEILLE_OIDC_JWKS_URL: `${issuer}/jwks#unread` };
      expect((await call(await sign(), vars)).status).toBe(503);
      await tell("/_break", { broken: false });
      expect((await call(await sign(), vars)).status).toBe(200);
      expect(
        (await call(await sign(), { ...oidc, REVEILLE_OIDC_JWKS_URL: "http://keys.example.com/jwks" })).status,
      ).toBe(503);
    });

    it("reads the key set once, not for each unknown key", async () => {
      const asked = async (): Promise<number> => (await fetch(`${issuer}/_asked`)).json<number>();
      await call(await sign());
      const before = await asked();
      for (let i = 0; i < 4; i++) expect((await call(await sign({}, { header: { kid: `x${i}` } }))).status).toBe(401);
      expect((await asked()) - before).toBe(0);
    });
  });
});

describe("/relay/provision", () => {
  it("makes the gateway, and gives the same secret at every boot and platform", async () => {
    const id = fresh("gw");
    const first = await provision(id, { routeKeys: [] });
    expect(first).toMatchObject({ status: 200, json: { tenant, gatewayId: id, routeKeys: [] } });
    expect(first.json["secret"]).toMatch(/^[0-9a-f]{64}$/);
    expect(first.json["deliveryKey"]).toMatch(/^[\w-]{40,}$/);
    for (const more of [{}, { platform: "telegram", botId: "" }, { platform: "discord", botId: "9" }, {}])
      expect((await provision(id, more)).json["secret"]).toBe(first.json["secret"]);
    expect((await readGateway(env.DB, id))?.identities).toEqual([
      ["slack", "B07"],
      ["telegram", ""],
      ["discord", "9"],
    ]);
    expect(await dump("gateway", "audit")).not.toContain(String(first.json["secret"]));
    // A boot that changes nothing leaves no proof of a change.
    expect((await audited(id, "gateway.provisioned")).map((a) => a["action"])).toEqual([
      "created",
      "identity added",
      "identity added",
      "identity added",
    ]);
  });

  it("gives one secret to all who boot at once", async () => {
    const id = fresh("gw");
    const all = await Promise.all(
      ["slack", "telegram", "discord", "slack", "slack"].map((platform) => provision(id, { platform })),
    );
    expect(all.map((a) => a.status)).toEqual([200, 200, 200, 200, 200]);
    expect(new Set(all.map((a) => a.json["secret"])).size).toBe(1);
    expect((await readGateway(env.DB, id))?.identities).toHaveLength(3);
  });

  it("keeps another tenant's gateway from a caller, and tells nothing of it", async () => {
    const id = fresh("gw");
    const key = fresh("route");
    const mine = await provision(id, { instanceId: "mine", routeKeys: [key] });
    const before = await dump("gateway", "gateway_route", "instance");
    const theirs = await provision(
      id,
      { platform: "telegram", instanceId: "theirs", wakeUrl: "https://x.example/w" },
      foreign,
    );
    expect(theirs).toMatchObject({ status: 403, json: { error: "this gatewayId is not available to this tenant" } });
    expect(Object.keys(theirs.json)).toEqual(["error"]);
    const text = JSON.stringify(theirs.json);
    for (const hidden of [tenant, "mine", String(mine.json["secret"]), id]) expect(text).not.toContain(hidden);
    expect(await dump("gateway", "gateway_route", "instance")).toBe(before);
    // Both at once for a new id: one gets it, the other 403, and nothing is mixed.
    const raced = fresh("gw");
    const [a, b] = await Promise.all([provision(raced), provision(raced, {}, foreign)]);
    expect([a!.status, b!.status].sort()).toEqual([200, 403]);
    expect((await readGateway(env.DB, raced))?.tenant).toBe(a!.status === 200 ? tenant : other);
  });

  it("never takes a route key from another tenant: 409, and nothing is made", async () => {
    const key = fresh("route");
    const [a, b] = [fresh("gw"), fresh("gw")];
    expect(await provision(a, { routeKeys: [key] })).toMatchObject({ status: 200, json: { routeKeys: [key] } });
    expect((await provision(b, { routeKeys: [fresh("route"), key] }, foreign)).status).toBe(409);
    expect(await readGateway(env.DB, b)).toBeNull();
    // One's own gateways may hand it on.
    expect((await provision(b, { routeKeys: [key] })).status).toBe(200);
  });

  it("leaves instance and wake URL as stored when they are absent, null or empty", async () => {
    const id = fresh("gw");
    const instance = fresh("coder");
    const read = () =>
      env.DB.prepare("SELECT wake_url FROM instance WHERE tenant = ? AND id = ?").bind(tenant, instance).first();
    await provision(id, { instanceId: instance, wakeUrl: "https://wake.example.com/now" });
    for (const more of [{}, { instanceId: "", wakeUrl: "" }, { instanceId: null, wakeUrl: null }])
      expect((await provision(id, more)).status).toBe(200);
    expect((await readGateway(env.DB, id))?.instance).toBe(instance);
    expect(await read()).toEqual({ wake_url: "https://wake.example.com/now" });
    await provision(id, { wakeUrl: "https://wake.example.com/other" });
    expect(await read()).toEqual({ wake_url: "https://wake.example.com/other" });
    const bare = fresh("gw:with:colons");
    await provision(bare);
    expect((await readGateway(env.DB, bare))?.instance).toBe(`gw:${bare}`);
  });

  it("refuses what it can't take, with a text", async () => {
    const bad: [string, Record<string, unknown> | string, string?][] = [
      ["not JSON", "{"],
      ["no gateway id", ask("")],
      ["a space in the id", ask("a b")],
      ["unknown platform", ask(fresh("gw"), { platform: "icq" })],
      ["route keys of another kind", ask(fresh("gw"), { routeKeys: "x" })],
      ["another gateway's own instance", ask(fresh("gw"), { instanceId: "gw:else" })],
      ["http wake URL", ask(fresh("gw"), { wakeUrl: "http://wake.example.com" })],
      ["private wake URL", ask(fresh("gw"), { wakeUrl: "https://10.0.0.7/" })],
      ["wake URL with a password", ask(fresh("gw"), { wakeUrl: "https://u:p@wake.example.com/" })],
    ];
    for (const [what, body] of bad) {
      const said = await post("/relay/provision", token, body);
      expect(said.status, what).toBe(400);
      expect(typeof said.json["error"], what).toBe("string");
      expect(JSON.stringify(said.json), what).not.toContain("u:p@");
    }
    expect((await post("/relay/provision", token, "x".repeat(70_000))).status).toBe(413);
    const get = await send("/relay/provision", { headers: { authorization: `Bearer ${token}` } });
    expect([get.status, get.headers.get("location")]).toEqual([405, null]);
  });

  it("stops at 32 bots, and never gives a revoked gateway a secret", async () => {
    const id = fresh("gw");
    const identities = Array.from({ length: 32 }, (_, i) => ({ platform: "slack", bot_id: `B${i}` }));
    await newGateway(tenant, fresh("inst"), { id, identities });
    expect(await provision(id, { botId: "B31" })).toMatchObject({ status: 200 });
    expect((await provision(id, { botId: "one more" })).status).toBe(409);
    expect((await api("POST", `/gateways/${id}/revoke`)).status).toBe(200);
    expect((await provision(id)).status).toBe(403);
  });

  it("lets a gateway that was told no platform front all", async () => {
    const id = fresh("gw");
    await provision(id, { platform: "relay", botId: "" });
    expect((await readGateway(env.DB, id))?.identities.map(([p]) => p)).toContain("telegram");
  });
});

describe("/relay/enroll", () => {
  const enrollToken = async (of = tenant): Promise<string> =>
    String((await api("POST", "/enroll-tokens", { tenant: of })).json["token"]);
  const enroll = (enrollmentToken: string, gatewayId = fresh("gw"), bearer = token) =>
    post("/relay/enroll", bearer, { enrollmentToken, gatewayId });

  it("makes a gateway that can sign in, once", async () => {
    const t = await enrollToken();
    const id = fresh("gw");
    const said = await enroll(t, id);
    expect(said).toMatchObject({ status: 200, json: { tenant, gatewayId: id } });
    const secret = String(said.json["secret"]);
    expect((await post("/manage/link", await upgradeToken(id, secret), {})).status).toBe(200);
    expect(await enroll(t, fresh("gw"))).toMatchObject({
      status: 403,
      json: { error: "the enrollment token is invalid, expired or used" },
    });
    expect(await dump("enroll_token", "gateway", "audit")).not.toContain(t);
  });

  it("is spent by one of those who try at once", async () => {
    const t = await enrollToken();
    const ids = [fresh("gw"), fresh("gw"), fresh("gw"), fresh("gw")];
    const statuses = (await Promise.all(ids.map((id) => enroll(t, id)))).map((s) => s.status);
    expect(statuses.sort()).toEqual([200, 403, 403, 403]);
    const made = await Promise.all(ids.map((id) => readGateway(env.DB, id)));
    expect(made.filter((g) => g !== null)).toHaveLength(1);
  });

  it("is for its own tenant, its own gateways, and 24 h", async () => {
    const t = await enrollToken();
    expect((await enroll(t, fresh("gw"), foreign)).status).toBe(403);
    const theirs = fresh("gw");
    await provision(theirs, {}, foreign);
    expect(await enroll(t, theirs)).toMatchObject({
      status: 403,
      json: { error: expect.stringMatching(/not available/) },
    });
    // Neither refusal used it up.
    const id = fresh("gw");
    expect((await enroll(t, id)).status).toBe(200);
    const late = await enrollToken();
    await env.DB.prepare("UPDATE enroll_token SET expires_at = 1 WHERE used_at IS NULL").run();
    expect((await enroll(late)).status).toBe(403);
    expect((await enroll("made-up")).status).toBe(403);
    expect((await post("/relay/enroll", token, { gatewayId: "x" })).status).toBe(400);
    expect((await post("/relay/enroll", null, { gatewayId: "x", enrollmentToken: "y" })).status).toBe(401);
  });

  it("gives a gateway of its own a new secret; the one before lives on for a while", async () => {
    const id = fresh("gw");
    const old = String((await provision(id)).json["secret"]);
    const said = await enroll(await enrollToken(), id);
    expect(said.json["secret"]).not.toBe(old);
    for (const secret of [old, String(said.json["secret"])])
      expect((await post("/manage/link", await upgradeToken(id, secret), {})).status).toBe(200);
    expect((await provision(id)).json["secret"]).toBe(said.json["secret"]);
  });
});

describe("/relay/policy", () => {
  const rule = { platform: "slack", requireAddress: true, freeResponseScopes: ["C1", "C1"], allowOtherBots: false };
  it("replaces the whole rule of the instance that the token names, with exactly 200", async () => {
    const g = await newGateway(tenant);
    const read = async () =>
      (await api<{ policies: unknown[] }>("GET", `/instances/${g.to.instance}?tenant=${tenant}`)).json.policies;
    expect((await post("/relay/policy", await g.token(), { ...rule, instanceId: "else", tenant: other })).status).toBe(
      200,
    );
    expect(await read()).toEqual([
      { platform: "slack", require_address: true, free_response_scopes: ["C1"], allow_other_bots: false },
    ]);
    await post("/relay/policy", await g.token(), rule);
    await post("/relay/policy", await g.token(), { ...rule, requireAddress: false, freeResponseScopes: [] });
    expect(await read()).toEqual([
      { platform: "slack", require_address: false, free_response_scopes: [], allow_other_bots: false },
    ]);
    // The same again at the next boot is no change.
    expect(await audited(g.to.instance, "connector.changed")).toHaveLength(2);
  });

  it("refuses unknown platforms, half a rule, and who is not a gateway", async () => {
    const g = await newGateway(tenant);
    expect(await post("/relay/policy", await g.token(), { ...rule, platform: "icq" })).toMatchObject({
      status: 400,
      json: { error: "unknown platform" },
    });
    expect((await post("/relay/policy", await g.token(), { platform: "slack" })).status).toBe(400);
    const refusals: [string | null, string][] = [
      [null, "unauthorized"],
      [token, "unauthorized"],
      [await upgradeToken(g.id, "wrong"), "unauthorized"],
      [await upgradeToken("nobody", g.secret), "unauthorized"],
      [await upgradeToken(g.id, g.secret, -60), "expired"],
      [await upgradeToken(g.id, "wrong", -60), "unauthorized"],
    ];
    for (const [bearer, error] of refusals)
      expect(await post("/relay/policy", bearer, rule)).toMatchObject({ status: 401, json: { error } });
  });
});
