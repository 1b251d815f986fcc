import { env } from "cloudflare:workers";
import { afterEach, beforeAll, describe, expect, it } from "vitest";
import { findGateway, gateEvent, readGateway, rotateSecret } from "../../src/gateway";
import { runtimeOf } from "../../src/kernel/runtime";
import { inbound } from "../unit/connector-kit";
import {
  api,
  audited,
  dump,
  edge,
  fresh,
  newGateway,
  newTenant,
  OPERATOR,
  post,
  runtime,
  send,
  tenantToken,
  upgradeToken,
} from "./connector-kit";
import { gateway, offerOf, stopAll, stub } from "./gateway-kit";

/**
 * What owners and the operator manage (hermes-relay §1.3, §5.5): who may, and that what is taken is taken everywhere
 * at once.
 */

afterEach(stopAll);
let tenant: string;
beforeAll(async () => {
  tenant = await newTenant();
  await newTenant();
});

describe("/manage/*", () => {
  it("manages the instance that the proof names, never one that the body names", async () => {
    const [g, victim] = [await newGateway(tenant), await newGateway(tenant)];
    const body = { policy: "any", instance: victim.to.instance, instanceId: victim.to.instance, tenant: "else" };
    expect((await post("/manage/principal", await g.token(), body)).status).toBe(200);
    const principal = async (d: { instance: string }) =>
      (await api("GET", `/instances/${d.instance}?tenant=${tenant}`)).json["principal"];
    expect([await principal(g.to), await principal(victim.to)]).toEqual(["any", "owner-only"]);
    // A gateway's token stays with its own instance, whatever the query says.
    await post(`/manage/principal?instance=${victim.to.instance}`, await g.token(), { policy: "any" });
    expect(await principal(victim.to)).toBe("owner-only");
  });

  it("takes a tenant's token that names the instance, or the operator's with the query", async () => {
    const g = await newGateway(tenant);
    const { instance } = g.to;
    const named = await tenantToken(tenant, `instance:${instance}`);
    const whole = await tenantToken(tenant);
    expect((await post("/manage/link", named, {})).json["code"]).toMatch(/^[2-9A-Z]{4}-[2-9A-Z]{4}-[2-9A-Z]{5}$/);
    expect((await post(`/manage/link?instance=${instance}`, whole, { platform: "slack" })).status).toBe(200);
    expect((await post("/manage/link", whole, {})).status).toBe(400);
    expect((await post(`/manage/link?tenant=${tenant}&instance=${instance}`, OPERATOR, {})).status).toBe(200);
    expect((await post(`/manage/link?instance=${instance}`, OPERATOR, {})).status).toBe(400);
    // Not another instance with a token of one, nor another tenant's at all.
    const second = await newGateway(tenant);
    expect((await post(`/manage/link?instance=${second.to.instance}`, named, {})).status).toBe(403);
    const foreign = await tenantToken(await newTenant());
    expect((await post(`/manage/link?instance=${instance}`, foreign, {})).status).toBe(404);
    for (const bad of [null, "x", await upgradeToken(g.id, "wrong"), await upgradeToken(g.id, g.secret, -60)])
      expect((await post("/manage/link", bad, {})).status).toBe(401);
  });

  it("grants a channel by the tenant's word alone; the gateway may give it back", async () => {
    const [g, second] = [await newGateway(tenant), await newGateway(tenant)];
    const team = fresh("T");
    await api("POST", "/scopes", { platform: "slack", scope_id: team, tenant });
    const channel = { platform: "slack", scopeId: team, channelId: fresh("C") };
    expect((await post("/manage/scope", await g.token(), channel)).status).toBe(403);
    const admin = await tenantToken(tenant);
    const scope = (to: { instance: string }) => post(`/manage/scope?instance=${to.instance}`, admin, channel);
    expect((await scope(g.to)).status).toBe(200);
    expect(await scope(second.to)).toMatchObject({ status: 409, json: { error: expect.stringMatching(/holds/) } });
    expect((await post("/manage/scope/release", await second.token(), channel)).status).toBe(404);
    expect((await post("/manage/scope/release", await g.token(), channel)).status).toBe(200);
    expect((await scope(second.to)).status).toBe(200);
  });

  it("answers what it does not know in JSON, without a redirect", async () => {
    const g = await newGateway(tenant);
    expect(await send("/manage/nothing")).toMatchObject({ status: 404, json: { error: "not found" } });
    expect(await send("/manage/link")).toMatchObject({ status: 405, json: { error: "use POST" } });
    expect(await post("/manage/principal", await g.token(), { policy: "everybody" })).toMatchObject({ status: 400 });
    expect(await post("/manage/dm-default", await g.token(), { platform: "slack" })).toMatchObject({ status: 400 });
  });
});

describe("a secret", () => {
  it("that is rotated has a successor at once, and ends after 24 h", async () => {
    const g = await newGateway(tenant);
    const said = await api<{ secret: string; env: string }>("POST", `/gateways/${g.id}/rotate`);
    expect(said.json.env).toContain(`GATEWAY_RELAY_SECRET=${said.json.secret}`);
    const works = async (secret: string) =>
      (await post("/manage/link", await upgradeToken(g.id, secret), {})).status === 200;
    expect([await works(g.secret), await works(said.json.secret)]).toEqual([true, true]);
    const record = await findGateway(env.DB, runtime, g.id);
    expect(record?.secrets.map((s) => [s.secret, s.retire_at === null])).toEqual([
      [said.json.secret, true],
      [g.secret, false],
    ]);
    const left = record!.secrets[1]!.retire_at! - runtime.clock.now();
    expect(left).toBeGreaterThan(86_400_000 - 60_000);
    expect(left).toBeLessThanOrEqual(86_400_000);
    const tomorrow = { ...runtime, clock: { ...runtime.clock, now: () => runtime.clock.now() + 86_400_001 } };
    // The cached record obeys the clock too.
    expect((await findGateway(env.DB, tomorrow, g.id))?.secrets.map((s) => s.secret)).toEqual([said.json.secret]);
    const row = (await readGateway(env.DB, g.id))!;
    const past = row.secrets.map((s) => ({ ...s, retire_at: s.retire_at && runtime.clock.now() - 1 }));
    await env.DB.prepare("UPDATE gateway SET secrets = ? WHERE id = ?").bind(JSON.stringify(past), g.id).run();
    expect([await works(g.secret), await works(said.json.secret)]).toEqual([false, true]);
  });

  it("is rotated by one of two at once; the other is told, and no secret that was told is lost", async () => {
    const g = await newGateway(tenant);
    // Both have read the row before either writes.
    let reading = 2;
    let go = (): void => {};
    const bothRead = new Promise<void>((resolve) => (go = resolve));
    const db = new Proxy(env.DB, {
      get: (real, name) => {
        const value = Reflect.get(real, name) as (...args: unknown[]) => unknown;
        if (name !== "batch") return typeof value === "function" ? value.bind(real) : value;
        return async (...args: unknown[]) => {
          if (--reading === 0) go();
          await bothRead;
          return value.apply(real, args);
        };
      },
    });
    const rotate = () => rotateSecret({ db, runtime, by: "test" }, g.id);
    const both = await Promise.allSettled([rotate(), rotate()]);
    const won = both.flatMap((b) => (b.status === "fulfilled" ? [b.value.secret] : []));
    expect(both.find((b) => b.status === "rejected")?.reason).toMatchObject({ status: 409, code: "changed" });
    const live = await findGateway(env.DB, runtime, g.id, { fresh: true });
    expect(live?.secrets.map((s) => s.secret)).toEqual([won[0], g.secret]);
  });

  it("is told once, and is in no list, row or log", async () => {
    const g = await newGateway(tenant);
    const shown = JSON.stringify([
      (await api("GET", "/gateways?limit=200")).json,
      (await api("GET", `/gateways/${g.id}`)).json,
      (await api("GET", "/audit?limit=200")).json,
    ]);
    expect(shown).toContain(g.id);
    expect(shown).not.toContain(g.secret);
    expect(await dump("gateway", "audit", "instance")).not.toContain(g.secret);
    expect(g.env.split("\n")).toEqual([
      "GATEWAY_RELAY_URL=http://reveille.test",
      `GATEWAY_RELAY_ID=${g.id}`,
      `GATEWAY_RELAY_SECRET=${g.secret}`,
      "GATEWAY_RELAY_PLATFORMS=slack,discord,telegram,whatsapp,sms",
    ]);
  });

  it("survives a new sealing key, and without its key is our fault: 503, never a refusal", async () => {
    const g = await newGateway(tenant);
    const old = String((env as unknown as Record<string, unknown>)["REVEILLE_GATEWAY_KEY"]);
    const next = "c4".repeat(32);
    const rt = (vars: Record<string, unknown>) => runtimeOf({ ...edge, ...vars }, "rotated");
    const both = rt({ REVEILLE_GATEWAY_KEY: next, REVEILLE_GATEWAY_KEY_OLD: old });
    const fresh_ = { fresh: true };
    expect((await findGateway(env.DB, both, g.id, fresh_))?.secrets[0]?.secret).toBe(g.secret);
    await expect(findGateway(env.DB, rt({ REVEILLE_GATEWAY_KEY: next }), g.id, fresh_)).rejects.toMatchObject({
      status: 503,
    });
    await expect(findGateway(env.DB, rt({ REVEILLE_GATEWAY_KEY: "" }), g.id, fresh_)).rejects.toMatchObject({
      status: 503,
    });
  });
});

describe("what is taken", () => {
  it("one gateway's: its socket closes with 4401 and it never comes back; its neighbour stays", async () => {
    const g = await newGateway(tenant);
    const neighbour = await newGateway(tenant, g.to.instance);
    const [a, b] = [gateway(g), gateway(neighbour)];
    await a.connect();
    await b.connect();
    expect((await api("POST", `/gateways/${g.id}/revoke`)).json).toMatchObject({ live: { state: "revoked" } });
    await a.until("closed", () => a.closes.length > 0);
    expect(a.closes[0]).toMatchObject({ code: 4401, reason: "unauthorized" });
    expect(b.closes).toEqual([]);
    expect((await post("/manage/link", await g.token(), {})).status).toBe(401);
    expect((await post("/manage/link", await neighbour.token(), {})).status).toBe(200);
    expect((await readGateway(env.DB, g.id))?.secrets).toEqual([]);
    for (const path of ["rotate", "identities"])
      expect((await api("POST", `/gateways/${g.id}/${path}`, { platform: "slack" })).status).toBe(409);
    expect((await api("POST", "/gateways", { tenant, id: g.id })).status).toBe(409);
    expect((await api("POST", `/gateways/${g.id}/revoke`)).status).toBe(200);
    expect((await audited(g.id, "gateway.changed")).map((x) => x["action"])).toEqual(["created", "revoked"]);
  });

  it("an instance's: people, channels, codes, rules, secrets, sockets and what waits, together", async () => {
    const g = await newGateway(tenant);
    const second = await newGateway(tenant, g.to.instance);
    const other = await newGateway(tenant);
    const team = fresh("T");
    const user = fresh("U");
    await api("POST", "/scopes", { platform: "slack", scope_id: team, tenant });
    for (const [to, id] of [
      [g.to, user],
      [other.to, fresh("U")],
    ] as const) {
      await api("POST", "/bindings", { ...to, platform: "slack", user_id: id });
      await api("POST", "/grants", { ...to, platform: "slack", scope_id: team, channel_id: fresh("C") });
    }
    const code = String((await post("/manage/link", await g.token(), {})).json["code"]);
    await post("/relay/policy", await g.token(), {
      platform: "slack",
      requireAddress: true,
      freeResponseScopes: [],
      allowOtherBots: false,
    });
    await stub(g.to).offer(offerOf(g.to, "waits"));
    expect(await stub(g.to).view()).toMatchObject({ waiting: 1 });
    const [a, b] = [gateway(second), gateway(other)];
    await b.connect();

    const event = () => inbound({ source: { scope_id: team, user_id: user } });
    expect(await gateEvent({ db: env.DB, runtime }, event())).toEqual({ to: g.to });
    const done = await post("/manage/deprovision", await g.token(), {});
    expect(done).toMatchObject({ status: 200, json: { ok: true } });
    expect((done.json["gateways"] as string[]).sort()).toEqual([g.id, second.id].sort());

    expect(await gateEvent({ db: env.DB, runtime }, event())).toEqual({ drop: "unlinked" });
    const linked = inbound({ source: { scope_id: team, user_id: user }, event: { text: `/link ${code}` } });
    expect(await gateEvent({ db: env.DB, runtime }, linked)).toMatchObject({
      consumed: expect.stringMatching(/invalid/),
    });
    expect(await stub(g.to).view()).toMatchObject({ waiting: 0, sockets: [] });
    for (const table of ["binding", "scope_grant", "link_code", "relevance", "prompt"]) {
      const left = await env.DB.prepare(`SELECT COUNT(*) AS n FROM ${table} WHERE tenant = ? AND instance = ?`)
        .bind(tenant, g.to.instance)
        .first<{ n: number }>();
      expect(left?.n, table).toBe(0);
    }
    for (const x of [g, second]) expect((await post("/manage/link", await x.token(), {})).status).toBe(401);
    void a.connect().catch(() => {});
    await a.until("refused", () => a.closes.some((c) => c.code === 4401));
    // The neighbour keeps all of its own.
    expect(b.closes).toEqual([]);
    expect((await post("/manage/link", await other.token(), {})).status).toBe(200);
    const kept = await dump("binding", "scope_grant");
    expect(kept.split(other.to.instance)).toHaveLength(3);
    expect(await audited(g.to.instance, "connector.changed")).toContainEqual(
      expect.objectContaining({ action: "instance.deprovisioned", by: `gateway:${g.id}` }),
    );
    // Again is harmless, by the operator.
    expect((await api("POST", `/instances/${g.to.instance}/deprovision?tenant=${tenant}`)).status).toBe(200);
    expect((await api("POST", `/instances/nobody/deprovision?tenant=${tenant}`)).status).toBe(404);
  });
});
