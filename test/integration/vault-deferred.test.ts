import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { gateway, type Json, type Made, made, type ScriptedGateway, stopAll } from "./gateway-kit";
import {
  type Bring,
  type Brought,
  bring,
  control,
  interactionId,
  inVault,
  ringVault,
  told,
  travelVault,
  vaultOf,
} from "./vault-kit";

/** Replies that Discord puts off (hermes-relay §6.6): an ordinary `send` ends them, and none is left "thinking". */

beforeEach(() => control({ reset: true }));
afterEach(stopAll);

const world = async (b: Bring = {}): Promise<{ m: Made; g: ScriptedGateway; b: Brought }> => {
  const m = await made(["slack", "discord"]);
  const brought = await bring(m.to, { platform: "discord", ...b });
  const g = gateway(m, { identities: [{ platform: "discord", botId: "B-discord" }], secondMs: 200 });
  await g.connect();
  return { m, g, b: brought };
};
const send = (
  g: ScriptedGateway,
  b: Brought,
  content: string,
  reply_to: string | null,
  more: Json = {},
): Promise<Json> =>
  g.outbound({ op: "send", chat_id: b.chat, content, reply_to, metadata: {}, ...more }, { platform: "discord" });
const acts = async (): Promise<[string, string][]> =>
  (await told()).acts.map((a) => [a.method.replace(/ ….*/, ""), String(a.body["content"] ?? "")]);
const posted = async (): Promise<string[]> =>
  (await told()).posted.filter((p) => p.platform === "discord").map((p) => String(p.body["content"]));

describe("a deferred reply", () => {
  it("is ended by the send that replies to it; later ones follow up", async () => {
    const { g, b } = await world();
    const first = await send(g, b, "one", b.interaction);
    expect(first).toMatchObject({ success: true, message_id: expect.stringMatching(/^9\d+$/) });
    expect(await send(g, b, "two", b.interaction)).toMatchObject({ success: true });
    expect(await acts()).toEqual([
      ["PATCH webhook/@original", "one"],
      ["POST webhook", "two"],
    ]);
    expect(await posted()).toEqual([]);
    // Only the token can change it where one person sees it.
    const edited = await g.outbound(
      { op: "edit", chat_id: b.chat, message_id: first["message_id"], content: "one, better", metadata: {} },
      { platform: "discord" },
    );
    expect(edited).toMatchObject({ success: true, message_id: first["message_id"] });
    expect((await acts()).at(-1)).toEqual(["PATCH webhook/:id", "one, better"]);
  });

  it("is ended by a send that replies to nothing when it is the only one", async () => {
    const { g, b } = await world();
    expect(await send(g, b, "one", null)).toMatchObject({ success: true });
    // It is not open any more.
    expect(await send(g, b, "two", null)).toMatchObject({ success: true });
    expect(await acts()).toEqual([["PATCH webhook/@original", "one"]]);
    expect(await posted()).toEqual(["two"]);
  });

  it("is left alone when two wait, and then goes without a word", async () => {
    const { m, g, b } = await world();
    await bring(m.to, { platform: "discord", chat: b.chat });
    expect(await send(g, b, "to whom?", null)).toMatchObject({ success: true });
    expect(await posted()).toEqual(["to whom?"]);
    await travelVault(m.to, b, 15 * 60_000);
    await ringVault(m.to, b);
    await travelVault(m.to, b, 0);
    expect(await acts()).toEqual([
      ["DELETE webhook/@original", ""],
      ["DELETE webhook/@original", ""],
    ]);
  });

  it("that nobody answered says so before its token ends; then the token is gone", async () => {
    const { m, b } = await world();
    await ringVault(m.to, b);
    expect(await acts()).toEqual([]);
    await travelVault(m.to, b, 14 * 60_000 + 1_000);
    await ringVault(m.to, b);
    await travelVault(m.to, b, 0);
    expect(await acts()).toEqual([["PATCH webhook/@original", "There was no answer in time. Please ask again."]]);
    const rows = await inVault(m.to, b, (sql) => sql.exec("SELECT sealed FROM vault").toArray());
    expect(rows).toEqual([{ sealed: null }]);
  });

  it("leaves nothing behind a day later", async () => {
    const { m, b } = await world();
    for (const ms of [15 * 60_000, 25 * 3_600_000]) {
      await travelVault(m.to, b, ms);
      await ringVault(m.to, b);
    }
    await travelVault(m.to, b, 0);
    expect(await vaultOf(m.to, "discord", b.chat).vault()).toEqual([]);
  });

  it("of a press is silent: nothing of its message is overwritten", async () => {
    const { m, g, b } = await world({ meta: { deferred: "update" } });
    expect(await send(g, b, "pressed", b.interaction)).toMatchObject({ success: true });
    expect(await acts()).toEqual([["POST webhook", "pressed"]]);
    await travelVault(m.to, b, 15 * 60_000);
    await ringVault(m.to, b);
    await travelVault(m.to, b, 0);
    expect(await acts()).toHaveLength(1);
  });

  it("keeps an answer private where the reply was", async () => {
    const { g, b } = await world({ meta: { ephemeral: "true" } });
    await send(g, b, "psst", b.interaction);
    await send(g, b, "more", b.interaction);
    const bodies = (await told()).acts.map((a) => a.body);
    expect(bodies[1]).toMatchObject({ content: "more", flags: 64, allowed_mentions: { parse: [] } });
    expect(await posted()).toEqual([]);
  });

  it("is asked for again while Discord does not know it yet", async () => {
    const { g, b } = await world({ value: `aW50-later-${crypto.randomUUID()}`, interaction: interactionId() });
    const said = await send(g, b, "soon", b.interaction);
    expect(said, JSON.stringify(said)).toMatchObject({ success: true });
    expect(await acts()).toEqual([["PATCH webhook/@original", "soon"]]);
  });

  it("that is over gives way to a message of the bot, unless it was private", async () => {
    const old = interactionId(Date.now() - 60_000);
    const { g, b } = await world({ value: `aW50-expired-${crypto.randomUUID()}`, interaction: old });
    expect(await send(g, b, "late", b.interaction)).toMatchObject({ success: true });
    expect(await posted()).toEqual(["late"]);
    const secret = await world({
      value: `aW50-expired-${crypto.randomUUID()}`,
      interaction: interactionId(Date.now() - 60_000),
      meta: { ephemeral: "true" },
    });
    expect(await send(secret.g, secret.b, "private", secret.b.interaction)).toMatchObject({
      success: false,
      error_code: "10015",
    });
    expect(await posted()).toEqual(["late"]);
  });

  it("whose change is refused for a moment stays open", async () => {
    const { g, b } = await world();
    await control({ discord: { mode: "ratelimited" } });
    expect(await send(g, b, "one", b.interaction)).toMatchObject({ success: false });
    expect(await acts()).toEqual([]);
  });

  it("serves a server that has no bot five times beside its first answer", async () => {
    const { g, b } = await world({ uses: 5 });
    const results: unknown[] = [];
    for (let n = 0; n < 7; n++) results.push((await send(g, b, `m${n}`, b.interaction))["success"]);
    expect((await acts()).length).toBe(6);
    expect(results.slice(0, 6)).toEqual(Array(6).fill(true));
  });
});

describe("follow_up on Discord", () => {
  it("ends the deferred reply, then follows up; another instance of the tenant can't", async () => {
    const { m, g, b } = await world();
    const ask = { op: "follow_up", session_key: b.aliases[0]!, kind: b.kind, metadata: {} };
    expect(await g.outbound({ ...ask, content: "a" }, { platform: "discord" })).toMatchObject({ success: true });
    expect(await g.outbound({ ...ask, content: "b" }, { platform: "discord" })).toMatchObject({
      success: true,
      message_id: expect.any(String),
    });
    const sibling = gateway(await made(["discord"], m.to.tenant), { identities: [{ platform: "discord" }] });
    await sibling.connect();
    const stolen = await sibling.outbound(
      { op: "send", chat_id: b.chat, content: "c", reply_to: b.interaction, metadata: {} },
      { platform: "discord" },
    );
    expect(stolen).toMatchObject({ success: false, code: "egress_declined" });
    expect(await acts()).toEqual([
      ["PATCH webhook/@original", "a"],
      ["POST webhook", "b"],
    ]);
  });
});
