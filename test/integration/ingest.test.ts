import { runInDurableObject } from "cloudflare:test";
import { beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { flushCounts } from "../../src/edge/ingest.count";
import { createLink, gatewayName, LINKED, Memory, NOT_LINKED } from "../../src/gateway";
import { runtimeOf } from "../../src/kernel/runtime";
import {
  edge,
  type Home,
  makeHome,
  type Reply,
  slackEvent,
  slackForm,
  slackMessage,
  TEAM,
  telegram,
  telegramMessage,
  unique,
} from "./ingest-kit";
import { control, ledger, vars } from "./notify-kit";

/**
 * The pipeline of chat-platforms §0 through the Worker's own handler, over real D1 and real objects: what is acked is stored, once,
 * in order, without a secret; what is nobody's is counted. Not proven here: what a gateway gets (gateway tests), what each
 * payload means (platform-fixtures).
 */

let home: Home;
beforeAll(async () => {
  home = await makeHome();
});
beforeEach(() => control({ reset: true }));

const ACK: Pick<Reply, "status" | "body"> = { status: 200, body: "" };
const bare = ({ status, body }: Reply) => ({ status, body });

async function counted(platform: string): Promise<Record<string, number>> {
  await flushCounts(edge.DB, runtimeOf(edge, "edge"));
  const { results } = await edge.DB.prepare(
    "SELECT outcome, SUM(n) AS n FROM ingest_count WHERE platform = ? GROUP BY outcome",
  )
    .bind(platform)
    .all<{ outcome: string; n: number }>();
  return Object.fromEntries(results.map((r) => [r.outcome, r.n]));
}

describe("an event of a linked author", () => {
  it("is stored before it is acked, as its platform and its gateway know it", async () => {
    const one = slackMessage(home, { text: "hello &amp; welcome" });
    expect(bare(await slackEvent(one))).toEqual(ACK);
    const row = (await home.rows()).at(-1);
    expect(row).toMatchObject({
      platform: "slack",
      app: "app",
      chat_id: home.dm,
      user_id: home.user,
      message_type: "text",
      text: "hello & welcome",
      state: "queued",
    });
    const update = telegramMessage(home);
    expect(bare(await telegram(update))).toEqual(ACK);
    expect((await home.rows()).at(-1)).toMatchObject({
      platform: "telegram",
      chat_id: String(home.telegramUser),
      user_id: String(home.telegramUser),
      text: update.message.text,
    });
  });

  it("is stored once, however often it comes at once", async () => {
    const fresh = await makeHome();
    const one = slackMessage(fresh);
    const replies = await Promise.all(Array.from({ length: 6 }, () => slackEvent(one)));
    expect(replies.map(bare)).toEqual(replies.map(() => ACK));
    const update = telegramMessage(fresh);
    await Promise.all(Array.from({ length: 6 }, () => telegram(update)));
    expect(await fresh.rows()).toHaveLength(2);
  });

  it("is one, though Slack tells it by two names, again with a retry header, and again under a new id", async () => {
    const fresh = await makeHome();
    const ts = "1790002000.000100";
    const text = "<@U0BOT00001> look";
    const mention = { type: "app_mention", channel: "C0TWIN0001", channel_type: undefined, ts, text };
    const message = { channel: "C0TWIN0001", channel_type: "channel", ts, text };
    const retry = { headers: { "x-slack-retry-num": "1", "x-slack-retry-reason": "http_timeout" } };
    const first = slackMessage(fresh, mention);
    for (const reply of [
      await slackEvent(first),
      await slackEvent(slackMessage(fresh, message)),
      await slackEvent(first, retry),
      await slackEvent(slackMessage(fresh, message)),
      await slackEvent(first, { app: "another" }),
    ])
      expect(bare(reply)).toEqual(ACK);
    expect(await fresh.rows()).toHaveLength(1);
  });

  it("gets the files of its second telling while it waits", async () => {
    const fresh = await makeHome();
    const twin = { channel: "C0TWIN0002", ts: "1790002000.000200", text: "<@U0BOT00001> see" };
    const files = [
      { id: "F1", name: "a.png", mimetype: "image/png", url_private_download: "https://files.slack.com/a.png" },
    ];
    await slackEvent(slackMessage(fresh, { ...twin, type: "app_mention", channel_type: undefined }));
    await slackEvent(slackMessage(fresh, { ...twin, channel_type: "channel", subtype: "file_share", files }));
    expect((await fresh.rows()).map((r) => r.message_type)).toEqual(["photo"]);
  });

  it("keeps the order in which it came, whatever the update ids say", async () => {
    const fresh = await makeHome();
    const [a, b, c] = [telegramMessage(fresh), telegramMessage(fresh), telegramMessage(fresh)];
    for (const update of [c, a, b]) await telegram(update);
    expect((await fresh.rows()).map((r) => r.text)).toEqual([c, a, b].map((u) => u.message.text));
  });
});

describe("what fails before it is durable", () => {
  const broken = (binding: string) => ({ env: { [binding]: undefined } });

  it("is a 5xx; the repeat is stored", async () => {
    const fresh = await makeHome();
    const one = slackMessage(fresh);
    const update = telegramMessage(fresh);
    expect([
      (await slackEvent(one, broken("GATEWAY"))).status,
      (await telegram(update, broken("GATEWAY"))).status,
    ]).toEqual([500, 500]);
    expect(await fresh.rows()).toEqual([]);
    expect([bare(await slackEvent(one)), bare(await telegram(update))]).toEqual([ACK, ACK]);
    expect(await fresh.rows()).toHaveLength(2);
  });

  it("is a 5xx when the gate can't read who is linked", async () => {
    const fresh = await makeHome();
    const one = slackMessage(fresh);
    expect((await slackEvent(one, broken("DB"))).status).toBe(500);
    expect(await fresh.rows()).toEqual([]);
  });

  describe("with a credential", () => {
    const command = (of: Home, n: number) => ({
      command: "/hermes",
      text: "status",
      team_id: TEAM,
      channel_id: of.dm,
      user_id: of.user,
      user_name: "ana",
      response_url: `https://hooks.slack.com/commands/${TEAM}/${n}/zyxwvuZYXWVU987654`,
      trigger_id: `600000000${n}.1.aa95fa3a2dc0`,
    });

    it("is a 5xx and held while the vault does not answer; others go on", async () => {
      const fresh = await makeHome();
      expect((await slackForm("commands", command(fresh, unique()), broken("SESSION"))).status).toBe(500);
      expect(bare(await slackEvent(slackMessage(fresh)))).toEqual(ACK);
      expect((await fresh.rows()).map((r) => r.state)).toEqual(["received", "queued"]);
    });

    it("resumes with the repeat", async () => {
      const fresh = await makeHome();
      const form = command(fresh, unique());
      await slackForm("commands", form, broken("SESSION"));
      expect(bare(await slackForm("commands", form))).toEqual(ACK);
      expect((await fresh.rows()).map((r) => [r.state, r.text])).toEqual([["queued", "/hermes status"]]);
    });
  });
});

describe("what is nobody's", () => {
  it("gets the same answer as what is somebody's, is not stored, and is counted without a row of its own", async () => {
    const fresh = await makeHome();
    const stranger = { ...fresh, user: "U0STRANGER", dm: "D0STRANGER" };
    const elsewhere = slackMessage(
      fresh,
      { channel: "C0FAR00001", channel_type: "channel" },
      { team_id: "T0UNKNOWN1" },
    );
    const before = await counted("slack");
    const replies = [
      await slackEvent(slackMessage(fresh)),
      await slackEvent(slackMessage(stranger, { channel: "C0CHAT0001", channel_type: "channel" })),
      await slackEvent(elsewhere),
      await slackEvent(slackMessage(fresh, { subtype: "channel_join" })),
      await slackEvent(slackMessage(fresh, { user: "U0BOT00001", bot_id: "B0BOT00001", app_id: "A0HERMES01" })),
    ];
    for (const reply of replies) expect(reply).toEqual(replies[0]);
    expect(bare(replies[0]!)).toEqual(ACK);
    expect(await fresh.rows()).toHaveLength(1);
    const after = await counted("slack");
    const more = (outcome: string): number => (after[outcome] ?? 0) - (before[outcome] ?? 0);
    expect([more("dropped: unlinked"), more("dropped: unknown_tenant"), more("ignored"), more("dropped: own")]).toEqual(
      [1, 1, 1, 1],
    );
  });

  it("costs at most a row per outcome, however much of it comes", async () => {
    const stranger = { ...home, user: "U0CHATTER1" };
    const before = await counted("slack");
    const rows = async () =>
      (await edge.DB.prepare("SELECT COUNT(*) AS n FROM ingest_count").first<{ n: number }>())!.n;
    const held = await rows();
    await Promise.all(
      Array.from({ length: 30 }, () =>
        slackEvent(slackMessage(stranger, { channel: "C0CHAT0001", channel_type: "channel" })),
      ),
    );
    expect((await counted("slack"))["dropped: unlinked"]! - (before["dropped: unlinked"] ?? 0)).toBe(30);
    expect((await rows()) - held).toBeLessThanOrEqual(1);
  });

  it("is a question to the built-in agent when an operator who is linked nowhere asks in the DM", async () => {
    const asks = async () => (await edge.DB.prepare("SELECT COUNT(*) AS n FROM ask").first<{ n: number }>())!.n;
    const operator = { ...home, user: "U0OPERATOR", dm: "D0OPERATOR" };
    const before = await asks();
    expect(bare(await slackEvent(slackMessage(operator, { text: "is anything down?" })))).toEqual(ACK);
    expect(await asks()).toBe(before + 1);
    await slackEvent(slackMessage(home, { text: "is anything down?" }));
    expect(await asks()).toBe(before + 1);
  });
});

describe("the bot-loop guard", () => {
  it("lets another bot in only by policy, and then a few turns a minute in one thread", async () => {
    const fresh = await makeHome();
    const bot = `B0OTHER${String(unique()).padStart(3, "0")}`;
    const say = (thread: string) =>
      slackEvent(
        slackMessage(fresh, {
          channel: "C0BOTS0001",
          channel_type: "channel",
          user: undefined,
          subtype: "bot_message",
          bot_id: bot,
          thread_ts: thread,
        }),
      );
    const now = Date.now();
    await edge.DB.batch([
      edge.DB.prepare("INSERT INTO binding VALUES ('slack', ?, 'acme', ?, ?, 0, ?)").bind(
        bot,
        fresh.to.instance,
        TEAM,
        now,
      ),
    ]);
    await say("1790003000.000001");
    expect(await fresh.rows()).toEqual([]);
    await edge.DB.prepare("INSERT INTO relevance VALUES ('acme', 'slack', ?, 0, '[]', 1, ?)")
      .bind(fresh.to.instance, now)
      .run();
    const other = `${bot}X`;
    await edge.DB.prepare("INSERT INTO binding VALUES ('slack', ?, 'acme', ?, ?, 0, ?)")
      .bind(other, fresh.to.instance, TEAM, now)
      .run();
    const turn = (thread: string) =>
      slackEvent(
        slackMessage(fresh, {
          channel: "C0BOTS0001",
          channel_type: "channel",
          user: undefined,
          subtype: "bot_message",
          bot_id: other,
          thread_ts: thread,
        }),
      );
    for (let i = 0; i < 10; i++) expect(bare(await turn("1790003000.000001"))).toEqual(ACK);
    expect(await fresh.rows()).toHaveLength(6);
    await turn("1790003000.000002");
    expect(await fresh.rows()).toHaveLength(7);
    expect((await counted("slack"))["dropped: too many turns of bots"]).toBe(4);
  });

  it("knows a message we sent by its id alone", async () => {
    const fresh = await makeHome();
    const stub = edge.GATEWAY.get(edge.GATEWAY.idFromName(gatewayName(fresh.to)));
    await runInDurableObject(stub, (_object, state) => {
      new Memory(state.storage.sql).sent("slack", fresh.dm, ["1790004000.000777"], Date.now());
    });
    await slackEvent(slackMessage(fresh, { ts: "1790004000.000777" }));
    expect(await fresh.rows()).toEqual([]);
    expect((await counted("slack"))["dropped: own echo"]).toBe(1);
  });
});

describe("/link", () => {
  const code = async (fresh: Home) =>
    (await createLink({ db: edge.DB, runtime: runtimeOf(edge, "edge"), by: "test" }, fresh.to, null)).code;

  it("is answered in the answer of a slash command, which only its author sees", async () => {
    const fresh = await makeHome();
    const n = unique();
    const form = (text: string) => ({
      command: "/hermes",
      text,
      team_id: TEAM,
      channel_id: `D0LINK${n}`,
      channel_name: "directmessage",
      user_id: `U0LINK${n}`,
      response_url: `https://hooks.slack.com/commands/${TEAM}/${n}/linkLINKlinkLINK`,
      trigger_id: `70000${n}.${text.length}.aa`,
    });
    const reply = await slackForm("commands", form(`link ${await code(fresh)}`));
    expect(reply.status).toBe(200);
    expect(JSON.parse(reply.body)).toEqual({ response_type: "ephemeral", text: LINKED });
    const wrong = await slackForm("commands", form("link nonsense"));
    expect(JSON.parse(wrong.body)).toEqual({ response_type: "ephemeral", text: NOT_LINKED });
    expect(await fresh.rows()).toEqual([]);
    await slackEvent(slackMessage({ ...fresh, user: `U0LINK${n}`, dm: `D0LINK${n}` }, { text: "hello" }));
    expect((await fresh.rows()).map((r) => r.text)).toEqual(["hello"]);
  });

  it("is answered in the chat where there is no such answer, once", async () => {
    const fresh = await makeHome();
    const someone = { ...fresh, telegramUser: 880_000 + unique() };
    const update = telegramMessage(someone, { text: `/link ${await code(fresh)}` });
    expect([bare(await telegram(update)), bare(await telegram(update))]).toEqual([ACK, ACK]);
    await vi.waitFor(async () => expect((await ledger()).telegram.map((m) => m.text)).toEqual([LINKED]));
    expect(await fresh.rows()).toEqual([]);
  });
});

describe("presses", () => {
  it("of a prompt are events of who pressed; the spinner stops after they are stored", async () => {
    const fresh = await makeHome();
    const message = { message_id: 77, chat: { id: fresh.telegramUser, type: "private" }, date: 0 };
    const from = { id: fresh.telegramUser, is_bot: false, first_name: "Ana" };
    const press = (id: string) => ({ update_id: unique(), callback_query: { id, from, message, data: "hp1:p1:once" } });
    expect((await telegram(press("cb-broken"), { env: { GATEWAY: undefined } })).status).toBe(500);
    expect((await ledger()).telegram_answers).toEqual([]);
    expect(bare(await telegram(press("cb-good")))).toEqual(ACK);
    await vi.waitFor(async () => expect((await ledger()).telegram_answers).toHaveLength(1));
    expect((await ledger()).telegram_answers[0]).toMatchObject({ callback_query_id: "cb-good" });
    expect((await fresh.rows()).map((r) => [r.message_type, r.text])).toEqual([["command", "/once"]]);
  });

  it("of anything else are dropped, counted, and their spinner stops", async () => {
    const before = (await counted("telegram"))["dropped: foreign press"] ?? 0;
    const from = { id: home.telegramUser, is_bot: false, first_name: "Ana" };
    await telegram({
      update_id: unique(),
      callback_query: {
        id: "cb-menu",
        from,
        message: { message_id: 1, chat: { id: 1, type: "private" }, date: 0 },
        data: "menu",
      },
    });
    await vi.waitFor(async () => expect((await ledger()).telegram_answers).toHaveLength(1));
    expect((await counted("telegram"))["dropped: foreign press"]).toBe(before + 1);
  });
});

describe("secrets", () => {
  it("in a text are gone before it is stored: the payload's own, a hook's address, and ours", async () => {
    const fresh = await makeHome();
    const own = String(vars()["REVEILLE_TELEGRAM_BOT_TOKEN"]);
    const hook = "https://hooks.slack.com/services/T0/B0/abcdefABCDEF123456";
    const one = slackMessage(fresh, {
      text: `<${hook}|hook> slack-legacy-verification-token ${own} ${encodeURIComponent(own)} ana@example.com`,
    });
    await slackEvent(one);
    const [row] = await fresh.rows();
    expect(row!.text).toBe("hook (<REDACTED>) <REDACTED> <REDACTED> <REDACTED> ana@example.com");
    expect(JSON.stringify(row)).not.toMatch(/abcdefABCDEF|legacy-verification|test-telegram-bot-token/);
  });

  it("are in no log line", async () => {
    const lines: unknown[] = [];
    for (const name of ["log", "warn", "error"] as const)
      vi.spyOn(console, name).mockImplementation((...args: unknown[]) => void lines.push(...args));
    const press = {
      type: "block_actions",
      user: { id: home.user },
      team: { id: TEAM },
      channel: { id: home.dm },
      response_url: "https://hooks.slack.com/actions/T/1/canaryResponseUrl",
      trigger_id: "canaryTrigger.1.2",
      token: "canaryLegacyToken",
      actions: [{ action_id: "canaryForeign", action_ts: "1790000000.000001" }],
    };
    await slackForm("interactions", { payload: JSON.stringify(press) });
    await slackForm("interactions", { payload: JSON.stringify(press) }, { env: { DB: undefined } });
    vi.restoreAllMocks();
    expect(lines.length).toBeGreaterThan(0);
    expect(lines.join("\n")).not.toMatch(/canary/);
  });
});
