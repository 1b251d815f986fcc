import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, inject, it } from "vitest";
import type { Ledger } from "../support/platforms.types";
import { audited, newTenant } from "./connector-kit";
import { edge, gateway, type Made, made, offerOf, type ScriptedGateway, stopAll, stub } from "./gateway-kit";

/** Proves outbound ops through a real socket, object and D1 against the platforms' stand-in (hermes-relay §8). */

const url = inject("platformsUrl");
const control = (change: Record<string, unknown>) =>
  fetch(`${url}/_control`, { method: "POST", body: JSON.stringify(change) }).then((r) => r.text());
const ledger = async (): Promise<Ledger> => (await fetch(`${url}/_ledger`)).json();

beforeEach(() => control({ reset: true }));
afterEach(stopAll);

const PLATFORMS = ["slack", "telegram", "discord", "whatsapp", "sms"] as const;
const CHAT = { slack: "D100", telegram: "4242", discord: "700100", whatsapp: "4915550001", sms: "+4915550002" };

interface Scene {
  m: Made;
  g: ScriptedGateway;
  op(platform: string, action: Record<string, unknown>): Promise<Record<string, unknown>>;
}

/** A gateway of all platforms that an event of each chat was stored for. Slack's scope is the tenant's. */
async function scene(
  chats: [(typeof PLATFORMS)[number], string][] = PLATFORMS.map((p) => [p, CHAT[p]]),
): Promise<Scene> {
  const m = await made([...PLATFORMS]);
  await edge.DB.prepare("INSERT OR REPLACE INTO scope_route VALUES ('slack', 'T100', ?, 'test', 1)")
    .bind(m.to.tenant)
    .run();
  for (const [platform, chat] of chats)
    await stub(m.to).offer(offerOf(m.to, "hello", { platform, chat, user: "U100" }));
  const g = gateway(m, {
    identities: PLATFORMS.map((platform) => ({ platform, botId: `B-${platform}` })),
    secondMs: 300,
  });
  await g.connect();
  const op: Scene["op"] = (platform, action) =>
    g.outbound(
      { chat_id: CHAT[platform as keyof typeof CHAT], metadata: {}, ...action },
      {
        platform,
        botId: `B-${platform}`,
      },
    );
  return { m, g, op };
}

describe("send", () => {
  it("reaches every platform, and its answer is the message's id", async () => {
    const { op } = await scene();
    for (const p of PLATFORMS) {
      const result = await op(p, { op: "send", content: "**hi** you" });
      expect(result, p).toMatchObject({ success: true, message_id: expect.any(String) });
      expect(Object.keys(result).sort(), p).toEqual(["message_id", "success"]);
    }
    const l = await ledger();
    expect(l.slack.map((s) => s.text)).toEqual(["*hi* you"]);
    expect(l.telegram.map((t) => [t.text, t.entities])).toEqual([["hi you", [{ type: "bold", offset: 0, length: 2 }]]]);
    expect(
      l.posted.map((x) => [
        x.platform,
        x.body["content"] ?? (x.body["text"] as { body: string })?.body ?? x.body["Body"],
      ]),
    ).toEqual([
      ["discord", "**hi** you"],
      ["whatsapp", "*hi* you"],
      ["sms", "hi you"],
    ]);
    expect(l.posted[0]!.body["allowed_mentions"]).toEqual({ parse: [] });
  });

  it("threads on Slack by metadata and never by reply_to; replies elsewhere", async () => {
    const { op } = await scene();
    await op("slack", { op: "send", content: "a", reply_to: "1700.000001", metadata: { thread_id: 17 } });
    await op("slack", { op: "send", content: "b", metadata: { thread_ts: "1700.000001" } });
    await op("telegram", { op: "send", content: "c", reply_to: "77", metadata: { thread_id: "1" } });
    await op("telegram", { op: "send", content: "d", metadata: { thread_id: "404" } });
    await op("discord", { op: "send", content: "e", reply_to: "999" });
    await op("discord", { op: "send", content: "f", reply_to: "901" });
    const l = await ledger();
    expect(l.slack.map((s) => s.thread_ts)).toEqual([null, "1700.000001"]);
    expect(l.telegram.map((t) => [t.text, t.reply_to])).toEqual([
      ["c", 77],
      ["d", null],
    ]);
    expect(l.posted.map((x) => x.body["message_reference"])).toEqual([
      undefined,
      { message_id: "901", fail_if_not_exists: false },
    ]);
  });

  it("splits what is too long, answers the first part's id, and an edit shrinks and grows it", async () => {
    const { op } = await scene();
    const long = "word ".repeat(900).trim();
    const first = await op("discord", { op: "send", content: long });
    const before = (await ledger()).posted.filter((x) => x.platform === "discord");
    expect(before.length).toBeGreaterThan(2);
    expect(first["message_id"]).toBe(before[0]!.id);
    expect(await op("discord", { op: "edit", message_id: first["message_id"], content: "short" })).toMatchObject({
      success: true,
      message_id: first["message_id"],
    });
    let now = (await ledger()).posted;
    expect(now.filter((x) => !x.deleted).map((x) => x.edits.at(-1)?.["content"])).toEqual(["short"]);
    await op("discord", { op: "edit", message_id: first["message_id"], content: long });
    now = (await ledger()).posted.filter((x) => !x.deleted);
    expect(now.map((x) => x.edits.at(-1)?.["content"] ?? x.body["content"]).join(" ")).toBe(long);
  });

  it("says that it can't know after silence, and sends no second time", async () => {
    const { op } = await scene();
    await control({
      telegram: { mode: "apply_then_5xx", times: 1 },
      slack: { mode: "5xx", times: 1 },
      discord: { mode: "apply_then_5xx", times: 1 },
    });
    expect(await op("telegram", { op: "send", content: "once" })).toMatchObject({ success: false, ambiguous: true });
    expect((await ledger()).telegram).toHaveLength(1);
    // A repeat that the platform knows by its nonce is one message.
    expect(await op("discord", { op: "send", content: "once" })).toMatchObject({ success: true });
    expect((await ledger()).posted).toHaveLength(1);
    // Not taken at all (503): it is sent again. A fault in the midst (502) may have made it.
    expect(await op("slack", { op: "send", content: "again" })).toMatchObject({ success: true });
    await control({ slack: { mode: "apply_then_5xx", times: 1 } });
    expect(await op("slack", { op: "send", content: "once" })).toMatchObject({ success: false, ambiguous: true });
    expect((await ledger()).slack.map((s) => s.text)).toEqual(["again", "once"]);
  });

  it("waits for a short limit, and gives up at once on one past the deadline", async () => {
    const { op } = await scene([
      ["slack", "D900"],
      ["discord", CHAT.discord],
    ]);
    await control({ discord: { mode: "ratelimited", retry_after: 0.1, times: 1 } });
    expect(await op("discord", { op: "send", content: "later" })).toMatchObject({ success: true });
    await control({ slack: { mode: "ratelimited", retry_after: 60, times: 1 } });
    const started = Date.now();
    expect(await op("slack", { op: "send", chat_id: "D900", content: "never" })).toEqual({
      success: false,
      error: "rate limited",
      error_code: "rate_limited",
      retryable: true,
      retry_after_ms: 60_000,
    });
    expect(Date.now() - started).toBeLessThan(2_000);
    const calls = (await ledger()).calls.length;
    // The bucket is held: nothing is asked, and other methods go on.
    expect(await op("slack", { op: "send", chat_id: "D900", content: "never" })).toMatchObject({
      error: "rate limited",
    });
    expect((await ledger()).calls.length).toBe(calls);
    expect(await op("slack", { op: "react", chat_id: "D900", message_id: "1700.000001", emoji: "👀" })).toEqual({
      success: true,
    });
  });

  it("names a refusal, and tells operators once of a credential that is refused", async () => {
    const { op } = await scene();
    await control({ slack: { mode: "ok_false", error: "is_archived" } });
    expect(await op("slack", { op: "send", content: "x", chat_id: "D100" })).toMatchObject({
      success: false,
      error: "slack: is_archived",
      error_code: "is_archived",
    });
    await control({ telegram: { mode: "invalid_auth" } });
    for (let i = 0; i < 2; i++)
      expect(await op("telegram", { op: "send", content: "x" })).toMatchObject({
        success: false,
        error_code: "invalid_auth",
      });
    const row = await env.DB.prepare(
      "SELECT state, detail FROM platform_app WHERE platform = 'telegram' AND app = ''",
    ).first();
    expect(row).toMatchObject({ state: "refused" });
    expect(await audited("bot token is refused", "platform.refused")).toHaveLength(1);
  });
});

describe("other ops", () => {
  it("edits, and takes an unchanged text for done", async () => {
    const { op } = await scene();
    // Side by side: a message's edits are a second apart.
    await Promise.all(
      ["slack", "telegram", "discord"].map(async (p) => {
        const { message_id } = await op(p, { op: "send", content: "first" });
        for (let i = 0; i < 2; i++)
          expect(await op(p, { op: "edit", message_id, content: "second" }), p).toEqual({ success: true, message_id });
      }),
    );
    const l = await ledger();
    expect([l.slack[0]!.edits.length, l.telegram[0]!.edits.length, l.posted[0]!.edits.length]).toEqual([2, 1, 2]);
    expect(await op("sms", { op: "edit", message_id: "1", content: "x" })).toEqual({
      success: false,
      error: "unsupported op",
    });
  });

  it("sends of edits that wait only the newest", async () => {
    const { g, op } = await scene();
    const { message_id } = await op("slack", { op: "send", content: "0" });
    // In one message: under load the pool may let one message overtake another.
    const results = await Promise.all(
      g.burst(() => ["1", "2", "3", "4"].map((content) => op("slack", { op: "edit", message_id, content }))),
    );
    expect(results).toEqual(Array(4).fill({ success: true, message_id }));
    const { edits } = (await ledger()).slack[0]!;
    expect(edits.length).toBeLessThan(3);
    expect(edits.at(-1)!.text).toBe("4");
  });

  it("never lets typing delay a message, nor a later message overtake an earlier", async () => {
    const { g, op } = await scene();
    await control({ slack: { mode: "ok", delay: 400, method: "assistant.threads.setStatus" } });
    const typing = op("slack", { op: "typing", metadata: { thread_id: "1700.000001" } });
    const started = Date.now();
    await Promise.all(g.burst(() => ["a", "b", "c"].map((content) => op("slack", { op: "send", content }))));
    expect(Date.now() - started).toBeLessThan(350);
    expect((await ledger()).slack.map((s) => s.text)).toEqual(["a", "b", "c"]);
    expect(await typing).toEqual({ success: true });
  });

  it("types: a status in a Slack thread, cleared by an empty one, and no call without a thread", async () => {
    const { op } = await scene();
    const metadata = { thread_id: "1700.000001" };
    for (const more of [{}, { metadata }, { metadata, content: "is reading" }, { metadata, content: "" }])
      expect(await op("slack", { op: "typing", ...more })).toEqual({ success: true });
    for (const content of [undefined, ""]) {
      expect(await op("telegram", { op: "typing", ...(content === "" ? { content } : {}) })).toEqual({ success: true });
      expect(await op("discord", { op: "typing", ...(content === "" ? { content } : {}) })).toEqual({ success: true });
    }
    const acts = (await ledger()).acts;
    expect(acts.filter((a) => a.platform === "slack").map((a) => a.body["status"])).toEqual([
      "is typing…",
      "is reading",
      "",
    ]);
    expect(acts.filter((a) => a.platform !== "slack")).toHaveLength(2);
  });

  it("reacts, twice the same, and takes it back, twice the same", async () => {
    const { op } = await scene();
    for (const remove of [false, false, true, true])
      for (const p of ["slack", "telegram", "discord", "whatsapp"])
        expect(
          await op(p, { op: "react", message_id: p === "slack" ? "1700.1" : "17", emoji: "👀", remove }),
          p,
        ).toEqual({ success: true });
    expect(await op("telegram", { op: "react", message_id: "17", emoji: "🪬" })).toMatchObject({ success: false });
  });

  it("asks with buttons that come back to the asker, and remembers who asked", async () => {
    const { op, m } = await scene();
    const ask = {
      op: "prompt",
      content: "Run it?",
      prompt_kind: "exec",
      prompt_id: "a1.0f",
      options: [
        { id: "once", label: "Once", style: "primary" },
        { id: "deny", label: "Deny", style: "danger" },
      ],
    };
    for (const p of ["slack", "telegram", "discord", "whatsapp"]) {
      const { success, message_id } = await op(p, ask);
      expect(success, p).toBe(true);
      const row = await env.DB.prepare(
        "SELECT tenant, instance, message_id, labels FROM prompt WHERE platform = ? AND chat_id = ? AND prompt_id = 'a1.0f'",
      )
        .bind(p, CHAT[p as keyof typeof CHAT])
        .first();
      expect(row, p).toEqual({ ...m.to, message_id, labels: '{"once":"Once","deny":"Deny"}' });
    }
    const l = await ledger();
    expect(JSON.stringify([l.slack, l.telegram, l.posted]).match(/hp1:a1\.0f:once/g)).toHaveLength(4);
    expect(await op("slack", { ...ask, prompt_id: "has:colon" })).toMatchObject({ success: false });
    expect(await op("slack", { ...ask, options: [ask.options[0], ask.options[0]] })).toMatchObject({ success: false });
  });

  it("tells what a chat is", async () => {
    const { op } = await scene();
    expect(await op("slack", { op: "get_chat_info" })).toEqual({
      success: true,
      chat_info: { name: "U100", type: "dm" },
    });
    expect(await op("telegram", { op: "get_chat_info" })).toEqual({
      success: true,
      chat_info: { name: "Ana B", type: "dm" },
    });
    expect(await op("discord", { op: "get_chat_info" })).toEqual({
      success: true,
      chat_info: { name: "name-700100", type: "group" },
    });
  });

  it("answers what it does not do, and what has no form", async () => {
    const { op } = await scene();
    for (const what of ["draft", "task_card", "thread_create", "delete", "__proto__"])
      expect(await op("slack", { op: what })).toEqual({ success: false, error: "unsupported op" });
    expect(await op("slack", { op: "send" })).toMatchObject({ success: false, error_code: "malformed" });
    expect(await op("slack", { op: "send", content: "  " })).toMatchObject({ success: false, error_code: "no_text" });
    expect(
      await op("slack", {
        op: "follow_up",
        session_key: "agent:main:slack:dm:D1",
        kind: "slack.response_url",
        content: "x",
      }),
    ).toEqual({ success: false, error: "capability unavailable" });
  });
});

describe("who may write where", () => {
  const declined = (platform: string) => ({
    success: false,
    code: "egress_declined",
    error: `${platform} egress declined: target is not an approved destination for this connection`,
  });

  it("refuses another tenant's chat and nobody's alike, with an audit row and without a call", async () => {
    const { op } = await scene();
    const other = await made([...PLATFORMS]);
    await stub(other.to).offer(offerOf(other.to, "theirs", { platform: "discord", chat: "700999" }));
    for (const chat_id of ["700999", "700998"])
      for (const what of [
        { op: "send", content: "x" },
        { op: "typing" },
        { op: "get_chat_info" },
        { op: "edit", message_id: "1", content: "x" },
      ])
        expect(await op("discord", { chat_id, ...what, metadata: { scope_id: "G1", user_id: "U100" } })).toEqual(
          declined("discord"),
        );
    expect((await ledger()).calls.filter((c) => c.platform === "discord")).toEqual([]);
    expect(await audited("700998", "egress.declined")).toHaveLength(1);
  });

  it("follows the chat's scope: once it is another tenant's, what was delivered before counts no more", async () => {
    const { op } = await scene([
      ["slack", "C77"],
      ["slack", "C78"],
    ]);
    expect(await op("slack", { op: "send", chat_id: "C77", content: "x" })).toMatchObject({ success: true });
    await edge.DB.prepare("UPDATE scope_route SET tenant = ? WHERE platform = 'slack' AND scope_id = 'T100'")
      .bind(await newTenant())
      .run();
    // Another chat: an approval is believed for five seconds.
    expect(await op("slack", { op: "send", chat_id: "C78", content: "x" })).toEqual(declined("slack"));
  });

  it("allows a channel that the instance holds, and a DM of its own author, and neither to its neighbour", async () => {
    const { op, m } = await scene([]);
    const neighbour = await made([...PLATFORMS], m.to.tenant);
    for (const [to, channel, user] of [
      [m.to, "C500", "50001"],
      [neighbour.to, "C501", "50002"],
    ] as const) {
      await edge.DB.prepare("INSERT INTO scope_grant VALUES ('slack', 'T100', ?, ?, ?, 'test', 1)")
        .bind(channel, to.tenant, to.instance)
        .run();
      await edge.DB.prepare(
        "INSERT INTO binding (platform, user_id, tenant, instance, scope_id, created_at) VALUES ('telegram', ?, ?, ?, '', 1)",
      )
        .bind(user, to.tenant, to.instance)
        .run();
    }
    expect(await op("slack", { op: "send", chat_id: "C500", content: "x" })).toMatchObject({ success: true });
    expect(await op("slack", { op: "send", chat_id: "C501", content: "x" })).toEqual(declined("slack"));
    expect(await op("telegram", { op: "send", chat_id: "50001", content: "x" })).toMatchObject({ success: true });
    expect(await op("telegram", { op: "send", chat_id: "50002", content: "x" })).toEqual(declined("telegram"));
  });

  it("lets no thread lead to another channel", async () => {
    const { op } = await scene();
    // Thread 800100 is in 700100, thread 800999 in 700999.
    expect(await op("discord", { op: "send", content: "in", metadata: { thread_id: "800100" } })).toMatchObject({
      success: true,
    });
    expect(await op("discord", { op: "send", content: "out", metadata: { thread_id: "800999" } })).toEqual(
      declined("discord"),
    );
    expect((await ledger()).posted.map((x) => [x.chat, x.body["content"]])).toEqual([["800100", "in"]]);
  });

  it("never tries another's credential", async () => {
    const m = await made(["telegram"]);
    const g = gateway(m, { identities: [{ platform: "telegram", botId: "B-telegram" }] });
    await g.connect();
    const result = await g.outbound(
      { op: "send", chat_id: "D100", content: "x" },
      { platform: "slack", botId: "B-slack" },
    );
    expect(result).toMatchObject({ success: false, error: "platform not provisioned for this gateway" });
  });
});
