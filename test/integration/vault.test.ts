import { runInDurableObject } from "cloudflare:test";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { api } from "./connector-kit";
import { gateway, type Json, type Made, made, type ScriptedGateway, stopAll, stub } from "./gateway-kit";
import { type Bring, type Brought, bring, control, inVault, objectOfVault, told, vaultOf } from "./vault-kit";

/**
 * The vault of a chat (hermes-relay §7) from a gateway's `follow_up` to the address that the credential is: through the real
 * socket, both objects, and a stand-in of hooks.slack.com. Not here: Discord's deferred replies (vault-deferred), leaks
 * (connector-leak).
 */

const UNAVAILABLE = { success: false, error: "capability unavailable" };

beforeEach(() => control({ reset: true }));
afterEach(stopAll);

async function connected(m: Made): Promise<ScriptedGateway> {
  const g = gateway(m, { identities: [{ platform: "slack", botId: "B-slack" }] });
  await g.connect();
  return g;
}
const world = async (b: Bring = {}): Promise<{ m: Made; g: ScriptedGateway; b: Brought }> => {
  const m = await made(["slack", "discord"]);
  const brought = await bring(m.to, b);
  return { m, g: await connected(m), b: brought };
};
const followUp = (g: ScriptedGateway, b: Brought, more: Json = {}): Promise<Json> =>
  g.outbound({ op: "follow_up", session_key: b.aliases[0]!, kind: b.kind, content: "hello **there**", ...more });

describe("follow_up", () => {
  it("is said by the credential alone, as often as it serves", async () => {
    const { m, g, b } = await world();
    for (let n = 0; n < 5; n++) expect(await followUp(g, b)).toEqual({ success: true });
    expect(await followUp(g, b)).toEqual(UNAVAILABLE);
    const { acts, slack, calls } = await told();
    expect(acts.map((a) => a.body)).toEqual(
      Array(5).fill({ text: "hello *there*", response_type: "ephemeral", replace_original: false }),
    );
    expect(slack).toEqual([]);
    expect(calls).toHaveLength(5);
    expect(await vaultOf(m.to, "slack", b.chat).vault()).toMatchObject([
      { kind: b.kind, uses_left: 0, wielded: 5, state: "spent" },
    ]);
  });

  it("is found by every key that a gateway may give the session, under any profile", async () => {
    const { m, g, b } = await world({ type: "group", chat: "C0VAULTKEYS" });
    expect(b.aliases.length).toBeGreaterThan(8);
    const profiled = b.aliases[0]!.replace("agent:main", "agent:work");
    for (const at of [...b.aliases.keys(), null]) {
      // Each event of a thread has a key of its own.
      const fresh = await bring(m.to, { type: "group", chat: b.chat });
      const session_key = at === null ? profiled : fresh.aliases[at];
      expect([session_key, await followUp(g, fresh, { session_key })]).toEqual([session_key, { success: true }]);
    }
  });

  it("never tells why there is nothing, and calls nobody", async () => {
    const { m, g, b } = await world();
    const sibling = await made(["slack"], m.to.tenant);
    const other = await made(["slack"]);
    const over = await bring(m.to, { life: -1 });
    const spent = await bring(m.to, { uses: 0 });
    const wide = await bring(m.to, { chat: "C0OTHERS", type: "group", user: "U1" });
    const misses: Promise<Json>[] = [
      followUp(g, b, { kind: "slack.trigger_id" }),
      followUp(g, b, { kind: "discord.interaction_token" }),
      followUp(g, b, { session_key: "agent:main:slack:dm:D0NOBODY" }),
      followUp(g, b, { session_key: "nonsense" }),
      followUp(g, wide, { session_key: wide.aliases[0]!.replace(/U1$/, "U2") }),
      followUp(g, over),
      followUp(g, spent),
      followUp(await connected(sibling), b),
      followUp(await connected(other), b),
    ];
    expect(await Promise.all(misses)).toEqual(misses.map(() => UNAVAILABLE));
    expect((await told()).calls).toEqual([]);
  });

  it("uses the newest of a session, and no older one when that is spent", async () => {
    const { m, g, b } = await world();
    const newer = await bring(m.to, { chat: b.chat, uses: 1 });
    expect(await followUp(g, b)).toEqual({ success: true });
    expect(await followUp(g, b)).toEqual(UNAVAILABLE);
    expect((await told()).acts).toHaveLength(1);
    const rows = await vaultOf(m.to, "slack", b.chat).vault();
    expect(rows.map((r) => [r.state, r.wielded])).toEqual([
      ["spent", 1],
      ["replaced", 0],
    ]);
    expect(newer.value).not.toBe(b.value);
  });

  it("keeps five of a session", async () => {
    const { m, b } = await world();
    for (let n = 0; n < 7; n++) await bring(m.to, { chat: b.chat });
    expect(await vaultOf(m.to, "slack", b.chat).vault()).toHaveLength(5);
  });

  it("is one use for one call, however many ask at once", async () => {
    const { g, b } = await world({ uses: 3 });
    const results = await Promise.all(Array.from({ length: 8 }, () => followUp(g, b)));
    expect(results.filter((r) => r["success"])).toHaveLength(3);
    expect((await told()).acts).toHaveLength(3);
  });

  it("gives the use back when it was certainly not made, and not when it may have been", async () => {
    const { m, g, b } = await world({ uses: 2 });
    await control({ slack: { mode: "ratelimited" } });
    expect(await followUp(g, b)).toMatchObject({ success: false, retryable: true });
    expect(await vaultOf(m.to, "slack", b.chat).vault()).toMatchObject([{ uses_left: 2, wielded: 0 }]);
    await control({ reset: true });
    const second = await world({ uses: 2 });
    await control({ slack: { mode: "apply_then_5xx" } });
    expect(await followUp(second.g, second.b)).toMatchObject({ success: false, ambiguous: true });
    expect(await vaultOf(second.m.to, "slack", second.b.chat).vault()).toMatchObject([{ uses_left: 1 }]);
  });

  it("follows no redirect, and repeats no credential that a platform quotes", async () => {
    const moved = await world({ value: "https://hooks.slack.com/commands/elsewhere/0123456789abcdef" });
    expect(await followUp(moved.g, moved.b)).toMatchObject({ success: false });
    const { webhook } = (await told()) as unknown as { webhook: unknown[] };
    expect(webhook).toEqual([]);
    const echoed = await world({ value: "https://hooks.slack.com/commands/echo/fedcba9876543210" });
    const answer = await followUp(echoed.g, echoed.b);
    expect(answer).toMatchObject({ success: false });
    expect(JSON.stringify(answer)).not.toContain("fedcba9876543210");
    const elsewhere = await world({ value: "https://hooks.slack.com.evil.example/x/0123456789abcdef" });
    expect(await followUp(elsewhere.g, elsewhere.b)).toMatchObject({ success: false });
  });

  it("ends a credential that its platform calls used", async () => {
    const { m, g, b } = await world({ value: "https://hooks.slack.com/commands/used/0123456789abcdef" });
    expect(await followUp(g, b)).toMatchObject({ success: false, error_code: "used_url" });
    expect(await followUp(g, b)).toEqual(UNAVAILABLE);
    expect(await vaultOf(m.to, "slack", b.chat).vault()).toMatchObject([{ state: "spent" }]);
  });
});

describe("what is stored", () => {
  it("is sealed, and opens nowhere else", async () => {
    const { m, g, b } = await world();
    const other = await bring(m.to, { chat: b.chat, user: "U100" });
    const rows = await inVault(m.to, b, (sql) => sql.exec("SELECT * FROM vault").toArray());
    expect(JSON.stringify(rows)).not.toContain(b.value);
    expect(rows.every((r) => String(r["sealed"]).startsWith("v1."))).toBe(true);
    // A sealed text moved to another row is a foreign one.
    await inVault(m.to, b, (sql) =>
      sql.exec("UPDATE vault SET sealed = (SELECT sealed FROM vault ORDER BY id LIMIT 1)"),
    );
    const results = [await followUp(g, b), await followUp(g, other)];
    const first = String(rows.sort((x, y) => (String(x["id"]) < String(y["id"]) ? -1 : 1))[0]!["id"]);
    const newest = (await vaultOf(m.to, "slack", b.chat).vault())[0]!.id;
    expect(results[0]).toEqual(newest === first ? { success: true } : UNAVAILABLE);
  });

  it("is refused in another chat's object", async () => {
    const { m, b } = await world();
    const wrong = { ...m.to, platform: "slack", chat_id: "D0WRONG" };
    const ask = {
      by: { session_key: b.aliases[0]!, kind: b.kind },
      content: "x",
      metadata: {},
      deadline: Date.now() + 1_000,
    };
    const said = await runInDurableObject(objectOfVault(m.to, b), (object) =>
      object.wield({ ...wrong, ...ask }).then(
        () => "done",
        (error: Error) => error.message,
      ),
    );
    expect(said).toBe("This vault is another chat's.");
  });

  it("is shown to operators without its value", async () => {
    const { m, b } = await world();
    const shown = await api("GET", `/vault?tenant=${m.to.tenant}&instance=${m.to.instance}&chat=${b.chat}`);
    expect(shown).toMatchObject({
      status: 200,
      json: {
        items: [{ platform: "slack", chat_id: b.chat, kind: b.kind, uses_left: 5, state: "live" }],
        more_chats: 0,
      },
    });
    const text = JSON.stringify(shown.json);
    expect([text.includes(b.value), text.includes("v1."), text.includes("hooks.slack.com")]).toEqual([
      false,
      false,
      false,
    ]);
  });

  it("goes with the instance", async () => {
    const { m, b } = await world();
    const two = await bring(m.to, { platform: "discord" });
    const { tenant, instance } = m.to;
    const ended = await api("POST", `/instances/${instance}/deprovision?tenant=${tenant}`);
    expect(ended).toMatchObject({ status: 200, json: { deprovisioned: true } });
    expect(await stub(m.to).vaulted()).toEqual([]);
    for (const one of [b, two]) {
      expect(await vaultOf(m.to, one.platform, one.chat).vault()).toEqual([]);
    }
  });
});
