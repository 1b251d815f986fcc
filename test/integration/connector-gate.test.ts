import { env } from "cloudflare:workers";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import {
  approveDestination,
  forgetFacts,
  type Gated,
  gateEvent,
  type Heard,
  LINK_TRIES,
  LINKED,
  NOT_LINKED,
} from "../../src/gateway";
import type { Inbound } from "../../src/platform";
import { inbound, inChannel } from "../unit/connector-kit";
import { api, audited, dump, fresh, newGateway, newTenant, post, runtime } from "./connector-kit";

/** The gate over real D1 (hermes-relay §9): whose an event is, `/link`, and what the isolate may still believe. */

const gate = (event: Inbound): Promise<Gated> => gateEvent({ db: env.DB, runtime }, event);
const say = (status: number, expected = 201): void => expect(status).toBe(expected);

const logged: string[] = [];
const real = { log: console.log, warn: console.warn, error: console.error, info: console.info };
beforeAll(() => {
  for (const name of ["log", "warn", "error", "info"] as const)
    console[name] = (...args: unknown[]) => {
      logged.push(args.map(String).join(" "));
      real[name](...args);
    };
});
afterAll(() => {
  Object.assign(console, real);
});

/** A tenant with a Slack team and an instance; two tenants are about, so nothing is "the only one's". */
async function world() {
  const tenant = await newTenant();
  const team = fresh("T");
  const g = await newGateway(tenant);
  say((await api("POST", "/scopes", { platform: "slack", scope_id: team, tenant })).status);
  const user = fresh("U");
  const source = { scope_id: team, user_id: user, chat_id: fresh("D") };
  return { tenant, team, user, g, to: g.to, source };
}
const codeFor = async (to: { tenant: string; instance: string }, platform?: string): Promise<string> =>
  String((await api("POST", "/links", { ...to, platform })).json["code"]);
const link = (text: string, source: Record<string, unknown>, rest: Partial<Inbound> = {}): Inbound =>
  inbound({ source, event: { text }, ...rest });
const bindings = async (user: string): Promise<unknown[]> =>
  (await env.DB.prepare("SELECT tenant, instance, scope_id FROM binding WHERE user_id = ?").bind(user).all()).results;

beforeAll(async () => {
  await newTenant();
  await newTenant();
});

describe("a scope", () => {
  it("without a row belongs to the only tenant; with two it is nobody's", async () => {
    const w = await world();
    await api("POST", "/bindings", { ...w.to, platform: "slack", user_id: w.user });
    const elsewhere = () => inbound({ source: { ...w.source, scope_id: "T-unknown" } });
    expect(await gate(elsewhere())).toEqual({ drop: "unknown_tenant" });
    const { results } = await env.DB.prepare("SELECT * FROM tenant WHERE id <> ?").bind(w.tenant).all();
    await env.DB.prepare("DELETE FROM tenant WHERE id <> ?").bind(w.tenant).run();
    forgetFacts(env.DB);
    expect(await gate(elsewhere())).toEqual({ to: w.to });
    for (const t of results)
      await env.DB.prepare("INSERT INTO tenant VALUES (?, ?, ?, ?)")
        .bind(t["id"], t["name"], t["delivery_key"], 1)
        .run();
    forgetFacts(env.DB);
  });

  it("given to a tenant is that tenant's: a binding of another tenant does not count there", async () => {
    const [w, v] = [await world(), await world()];
    await api("POST", "/bindings", { ...v.to, platform: "slack", user_id: w.user });
    expect(await gate(inbound({ source: w.source }))).toEqual({ drop: "unlinked" });
    await api("POST", "/bindings", { ...w.to, platform: "slack", user_id: w.user });
    expect(await gate(inbound({ source: w.source }))).toEqual({ to: w.to });
    expect(await gate(inbound({ source: { ...w.source, scope_id: v.team } }))).toEqual({ to: v.to });
    expect((await api("POST", "/scopes", { platform: "slack", scope_id: w.team, tenant: v.tenant })).status).toBe(409);
  });

  it("of Telegram is the chat, else the bot; a DM is its author's", async () => {
    const w = await world();
    const user = fresh("4");
    const telegram = (source: Record<string, unknown>, app = "news"): Inbound => {
      const made = inbound({ source: { platform: "telegram", user_id: user, chat_id: user, ...source }, app });
      delete made.event.source.scope_id;
      return made;
    };
    const group = { chat_id: fresh("-100"), chat_type: "group" as const };
    await api("POST", "/bindings", { ...w.to, platform: "telegram", user_id: user });
    expect(await gate(telegram({}))).toEqual({ to: w.to });
    expect(await gate(telegram(group))).toEqual({ drop: "unknown_tenant" });
    const app = fresh("bot").replace(/[^a-z0-9]/g, "");
    say((await api("POST", "/scopes", { platform: "telegram", scope_id: `bot:${app}`, tenant: w.tenant })).status);
    expect(await gate(telegram(group, app))).toEqual({ to: w.to });
    const v = await world();
    say((await api("POST", "/scopes", { platform: "telegram", scope_id: group.chat_id, tenant: v.tenant })).status);
    expect(await gate(telegram(group, app))).toEqual({ drop: "unlinked" });
  });
});

describe("a channel that an instance holds", () => {
  it("lets others in as the instance's principal says, and as its rule wants", async () => {
    const w = await world();
    const channel = { platform: "slack", scope_id: w.team, channel_id: fresh("C") };
    const at = (more: Record<string, unknown> = {}, rest: Partial<Inbound> = {}): Inbound =>
      inChannel({ scope_id: w.team, chat_id: channel.channel_id, user_id: "U-other", ...more }, rest);
    expect(await gate(at())).toEqual({ drop: "unlinked" });
    say((await api("POST", "/grants", { ...w.to, ...channel })).status);
    expect(await gate(at())).toEqual({ drop: "principal" });
    const manage = async (path: string, body: unknown) =>
      (await post(`/manage/${path}`, await w.g.token(), body)).status;
    expect(await manage("principal", { policy: "allow-list", allow: ["U-other"] })).toBe(200);
    expect(await gate(at())).toEqual({ to: w.to });
    expect(await gate(at({ user_id: "U-third" }))).toEqual({ drop: "principal" });
    expect(await manage("principal", { policy: "any" })).toBe(200);
    expect(await gate(at({ user_id: "U-third" }))).toEqual({ to: w.to });
    // The thread of a held channel is held with it.
    expect(await gate(at({ chat_id: "C-thread", parent_chat_id: channel.channel_id }))).toEqual({ to: w.to });
    const rule = { platform: "slack", requireAddress: true, freeResponseScopes: [], allowOtherBots: false };
    expect((await post("/relay/policy", await w.g.token(), rule)).status).toBe(200);
    expect(await gate(at())).toEqual({ drop: "not_addressed" });
    expect(await gate(at({}, { addressed: true }))).toEqual({ to: w.to });
    expect(await gate(at({ is_bot: true }, { addressed: true }))).toEqual({ drop: "other_bot" });
    await post("/relay/policy", await w.g.token(), { ...rule, freeResponseScopes: [channel.channel_id] });
    expect(await gate(at())).toEqual({ to: w.to });
    // An author who is linked to another instance stays with it.
    const mine = await newGateway(w.tenant);
    await api("POST", "/bindings", { ...mine.to, platform: "slack", user_id: "U-third" });
    expect(await gate(at({ user_id: "U-third" }))).toEqual({ to: mine.to });
    expect((await api("DELETE", "/grants", { ...w.to, ...channel })).status).toBe(200);
    expect(await gate(at())).toEqual({ drop: "unlinked" });
  });

  it("is held by one instance alone, and only in a scope of its tenant", async () => {
    const [w, v] = [await world(), await world()];
    const channel = { platform: "slack", scope_id: w.team, channel_id: fresh("C") };
    say((await api("POST", "/grants", { ...w.to, ...channel })).status);
    say((await api("POST", "/grants", { ...w.to, ...channel })).status);
    const second = await newGateway(w.tenant);
    expect((await api("POST", "/grants", { ...second.to, ...channel })).status).toBe(409);
    expect((await api("DELETE", "/grants", { ...second.to, ...channel })).status).toBe(404);
    const foreign = { ...channel, channel_id: fresh("C") };
    expect((await api("POST", "/grants", { ...v.to, ...foreign })).status).toBe(409);
  });
});

describe("several instances of one author", () => {
  it("share by the DM default, else the newest", async () => {
    const w = await world();
    const second = await newGateway(w.tenant);
    await api("POST", "/bindings", { ...w.to, platform: "slack", user_id: w.user });
    await env.DB.prepare("UPDATE binding SET created_at = created_at - 60000 WHERE user_id = ?").bind(w.user).run();
    await api("POST", "/bindings", { ...second.to, platform: "slack", user_id: w.user });
    expect(await gate(inbound({ source: w.source }))).toEqual({ to: second.to });
    const set = async (g: { token(): Promise<string> }) =>
      (await post("/manage/dm-default", await g.token(), { platform: "slack", userId: w.user })).status;
    expect(await set(w.g)).toBe(200);
    expect(await gate(inbound({ source: w.source }))).toEqual({ to: w.to });
    expect(await set(second)).toBe(200);
    expect(await gate(inbound({ source: w.source }))).toEqual({ to: second.to });
    // Somebody else's instance cannot make itself the default.
    expect(await set(await newGateway(w.tenant))).toBe(404);
  });
});

describe("/link", () => {
  it("binds the author of the verified event, once, and tells them in the DM", async () => {
    const w = await world();
    const code = await codeFor(w.to);
    expect(await gate(inbound({ source: w.source }))).toEqual({ drop: "unlinked" });
    const event = link(`/link ${code.toLowerCase().replaceAll("-", " ").trim().replaceAll(" ", "")}`, w.source);
    expect(await gate(event)).toEqual({ consumed: LINKED });
    expect(await bindings(w.user)).toEqual([{ ...w.to, scope_id: w.team }]);
    // At once, in this isolate: nothing of the miss before is believed.
    expect(await gate(inbound({ source: w.source }))).toEqual({ to: w.to });
    expect(await audited(w.user, "link.used")).toMatchObject([{ platform: "slack", chat_id: w.source.chat_id }]);
    // The code is spent, for them and for others.
    expect(await gate(link(`/link ${code}`, { ...w.source, user_id: fresh("U") }))).toEqual({ consumed: NOT_LINKED });
    // And is nowhere: neither in rows nor in logs.
    const rows = await dump("link_code", "link_try", "consumed_event", "binding", "audit");
    expect(logged.join("\n")).toContain("link.made");
    for (const text of [code, code.replaceAll("-", "")]) {
      expect(rows).not.toContain(text);
      expect(logged.join("\n").toUpperCase()).not.toContain(text);
    }
  });

  it("is consumed once, whatever the platform repeats", async () => {
    const w = await world();
    const event = link(`/link ${await codeFor(w.to)}`, w.source);
    const answers = await Promise.all([gate(event), gate(event), gate({ ...event, d1: `${event.d1}-again` })]);
    expect(answers.map((a) => JSON.stringify(a)).sort()).toEqual(
      [{ consumed: LINKED }, { consumed: null }, { consumed: null }].map((a) => JSON.stringify(a)).sort(),
    );
    expect(await gate(event)).toEqual({ consumed: null });
  });

  it("serves one of two who send the same code at once", async () => {
    const w = await world();
    const code = await codeFor(w.to);
    const [a, b] = [fresh("U"), fresh("U")];
    const said = await Promise.all([a, b].map((user_id) => gate(link(`/link ${code}`, { ...w.source, user_id }))));
    expect(said.filter((x) => "consumed" in x && x.consumed === LINKED)).toHaveLength(1);
    expect([...(await bindings(a)), ...(await bindings(b))]).toHaveLength(1);
  });

  it("in a shared channel binds nobody, says nothing, and burns the code", async () => {
    for (const shared of [
      { chat_type: "group" as const, chat_id: "C1" },
      { one_to_one_verified: false }, // A DM of several people.
    ]) {
      const w = await world();
      const code = await codeFor(w.to);
      expect(await gate(link(`/link ${code}`, { ...w.source, ...shared }))).toEqual({ consumed: null });
      expect(await gate(link(`/link ${code}`, w.source))).toEqual({ consumed: NOT_LINKED });
      expect(await bindings(w.user)).toEqual([]);
    }
  });

  it("takes a code of the scope's tenant, its platform, its time alone", async () => {
    const [w, v] = [await world(), await world()];
    const invalid = { consumed: NOT_LINKED };
    expect(await gate(link(`/link ${await codeFor(v.to)}`, w.source))).toEqual(invalid);
    expect(await gate(link(`/link ${await codeFor(w.to, "telegram")}`, w.source))).toEqual(invalid);
    expect(await gate(link(`/link ${await codeFor(w.to)}`, { ...w.source, scope_id: "T-nobody" }))).toEqual(invalid);
    const late = await codeFor(w.to);
    await env.DB.prepare("UPDATE link_code SET expires_at = ? WHERE instance = ? AND used_at IS NULL")
      .bind(runtime.clock.now() - 1, w.to.instance)
      .run();
    expect(await gate(link(`/link ${late}`, w.source))).toEqual(invalid);
    expect(await bindings(w.user)).toEqual([]);
    const user = fresh("4");
    const telegram = link(`/link@our_bot ${await codeFor(v.to, "telegram")}`, {
      platform: "telegram",
      user_id: user,
      chat_id: user,
    });
    delete telegram.event.source.scope_id;
    expect(await gate(telegram)).toEqual({ consumed: LINKED });
    expect(await bindings(user)).toEqual([{ ...v.to, scope_id: "" }]);
  });

  it("gives five tries in ten minutes; then even a good code is refused", async () => {
    const w = await world();
    for (let i = 0; i < LINK_TRIES; i++)
      expect(await gate(link(i === 0 ? "/link" : `/link WRONG-${i}`, w.source))).toEqual({ consumed: NOT_LINKED });
    const code = await codeFor(w.to);
    expect(await gate(link(`/link ${code}`, w.source))).toEqual({ consumed: NOT_LINKED });
    // It is not used up, and somebody else is not held up.
    await env.DB.prepare("UPDATE link_try SET since = since - 600001 WHERE user_id = ?").bind(w.user).run();
    expect(await gate(link(`/link ${code}`, w.source))).toEqual({ consumed: LINKED });
  });

  it("has at most twenty codes waiting for one instance", async () => {
    const w = await world();
    for (let i = 0; i < 20; i++) expect((await post("/manage/link", await w.g.token(), {})).status).toBe(200);
    expect((await post("/manage/link", await w.g.token(), {})).status).toBe(429);
    expect((await api("GET", "/links")).status).toBe(200);
  });
});

describe("what an isolate believes", () => {
  it("ends after seconds, sooner for nobody; a write here ends it at once", async () => {
    const w = await world();
    const event = () => inbound({ source: w.source });
    expect(await gate(event())).toEqual({ drop: "unlinked" });
    const row = env.DB.prepare(
      "INSERT INTO binding (platform, user_id, tenant, instance, scope_id, created_at) VALUES ('slack', ?, ?, ?, '', 1)",
    ).bind(w.user, w.to.tenant, w.to.instance);
    await row.run();
    // Another isolate wrote: here "nobody" is believed for a second.
    expect(await gate(event())).toEqual({ drop: "unlinked" });
    const later = { ...runtime, clock: { ...runtime.clock, wall: () => Date.now() + 1_100 } };
    expect(await gateEvent({ db: env.DB, runtime: later }, event())).toEqual({ to: w.to });
    await env.DB.prepare("DELETE FROM binding WHERE user_id = ?").bind(w.user).run();
    expect(await gateEvent({ db: env.DB, runtime: later }, event())).toEqual({ to: w.to });
    const after = { ...runtime, clock: { ...runtime.clock, wall: () => Date.now() + 7_000 } };
    expect(await gateEvent({ db: env.DB, runtime: after }, event())).toEqual({ drop: "unlinked" });
  });

  it("reads once for events of one author, one after the other", async () => {
    const w = await world();
    await api("POST", "/bindings", { ...w.to, platform: "slack", user_id: w.user });
    let batches = 0;
    const counting = new Proxy(env.DB, {
      get: (db, name) => {
        if (name === "batch") batches++;
        const value = Reflect.get(db, name) as unknown;
        return typeof value === "function" ? value.bind(db) : value;
      },
    });
    const once = () => gateEvent({ db: counting, runtime }, inbound({ source: w.source }));
    for (let i = 0; i < 4; i++) expect(await once()).toEqual({ to: w.to });
    expect(batches).toBe(1);
  });

  it("waits for no read that another request began: that one may end with its request", async () => {
    const w = await world();
    await api("POST", "/bindings", { ...w.to, platform: "slack", user_id: w.user });
    let stuck = true;
    let began = 0;
    const db = new Proxy(env.DB, {
      get: (real, name) => {
        if (name === "batch" && stuck) return () => new Promise(() => began++);
        const value = Reflect.get(real, name) as unknown;
        return typeof value === "function" ? value.bind(real) : value;
      },
    });
    void gateEvent({ db, runtime }, inbound({ source: w.source }));
    await vi.waitFor(() => expect(began).toBe(1));
    stuck = false;
    expect(await gateEvent({ db, runtime }, inbound({ source: w.source }))).toEqual({ to: w.to });
  });

  it("is not kept when D1 failed", async () => {
    const w = await world();
    await api("POST", "/bindings", { ...w.to, platform: "slack", user_id: w.user });
    let down = true;
    const db = new Proxy(env.DB, {
      get: (real, name) => {
        if (name === "batch" && down) return () => Promise.reject(new Error("D1_ERROR: down"));
        const value = Reflect.get(real, name) as unknown;
        return typeof value === "function" ? value.bind(real) : value;
      },
    });
    await expect(gateEvent({ db, runtime }, inbound({ source: w.source }))).rejects.toThrow("D1_ERROR");
    down = false;
    expect(await gateEvent({ db, runtime }, inbound({ source: w.source }))).toEqual({ to: w.to });
  });
});

describe("where an instance may speak", () => {
  const may = (to: { tenant: string; instance: string }, chat_id: string, heard: Heard[] = []): Promise<boolean> =>
    approveDestination(env.DB, Date.now(), to, { platform: "slack", chat_id, heard });

  it("is read from D1: held channels, its people, chats it heard of in a scope that is still its tenant's", async () => {
    const [w, v] = [await world(), await world()];
    const channel = fresh("C");
    await api("POST", "/grants", { ...w.to, platform: "slack", scope_id: w.team, channel_id: channel });
    await api("POST", "/bindings", { ...w.to, platform: "slack", user_id: w.user, scope_id: w.team });
    expect([await may(w.to, channel), await may(w.to, w.user)]).toEqual([true, true]);
    expect([await may(v.to, channel), await may(v.to, w.user)]).toEqual([false, false]);
    const heard = [{ author: "U9", scope: w.team, type: "group" }];
    expect([await may(w.to, "C-heard", heard), await may(v.to, "C-heard", heard)]).toEqual([true, false]);
    await api("DELETE", "/scopes", { platform: "slack", scope_id: w.team, tenant: w.tenant });
    await api("POST", "/scopes", { platform: "slack", scope_id: w.team, tenant: v.tenant });
    expect([await may(w.to, channel), await may(w.to, "C-heard", heard)]).toEqual([false, false]);
  });
});
