import { afterEach, beforeAll, describe, expect, it } from "vitest";
import { createLink, NOT_LINKED } from "../../src/gateway";
import { fromHex, hmacSha256, toHex, utf8 } from "../../src/kernel/crypto";
import { runtimeOf } from "../../src/kernel/runtime";
import { gateway, made, stopAll } from "./gateway-kit";
import { edge, type Home, makeHome, type Reply, through, unique } from "./ingest-kit";
import { ledger } from "./notify-kit";

/**
 * Discord, WhatsApp and Twilio through the Worker's own handler, signed as they sign: what is acked is stored once, what Discord
 * gets in its answer, and that no interaction token goes on. Not proven here: what each payload means (platform-fixtures).
 */

afterEach(stopAll);

const APPLICATION = "1200000000000000001";
const SEED = "1b630b3e889a1117b4c291c251ea7e288c839ebcf9d9e69af5942a5eb99f1487";
const VARS = {
  REVEILLE_DISCORD_PUBLIC_KEY: "d14cec5c1df8025a157d440f28b248029e62dbf1ef84de095d3c872c049cdd5f",
  REVEILLE_DISCORD_APPLICATION_ID: APPLICATION,
  REVEILLE_WHATSAPP_APP_SECRET: "hermes_edge_meta_app_secret",
  REVEILLE_WHATSAPP_PHONE_ID: "106540352242922",
  REVEILLE_TWILIO_AUTH_TOKEN: "hermes_edge_twilio_auth_token",
  REVEILLE_TWILIO_WEBHOOK_URL: "https://edge.example.com/sms",
};

let key: CryptoKey;
let home: Home;
let person: string;
const GUILD = "18446744073709551615";
const CHANNEL = "12345678901234567890";

const bind = (platform: string, user: string, to = home.to) =>
  edge.DB.prepare("INSERT INTO binding VALUES (?, ?, ?, ?, '', 0, ?)")
    .bind(platform, user, to.tenant, to.instance, Date.now())
    .run();

beforeAll(async () => {
  // PKCS#8 of an Ed25519 seed: a fixed head, then its 32 bytes.
  const pkcs8 = new Uint8Array([...fromHex("302e020100300506032b657004220420")!, ...fromHex(SEED)!]);
  key = await crypto.subtle.importKey("pkcs8", pkcs8, { name: "Ed25519" }, false, ["sign"]);
  home = await makeHome();
  person = "643945264868098049";
  const now = Date.now();
  await edge.DB.batch(
    [
      ["discord", GUILD],
      ["whatsapp", "106540352242922"],
      ["sms", "+15550001111"],
    ].map(([platform, scope]) =>
      edge.DB.prepare("INSERT INTO scope_route VALUES (?, ?, 'acme', 'test', ?)").bind(platform, scope, now),
    ),
  );
  await bind("discord", person);
  await bind("whatsapp", "15550002222");
  await bind("sms", "+15550003333");
});

async function discord(value: unknown, tail = "interactions", headers: Record<string, string> = {}): Promise<Reply> {
  const ts = String(Math.floor(Date.now() / 1000));
  const body = JSON.stringify(value);
  const proof = await crypto.subtle.sign({ name: "Ed25519" }, key, utf8(ts + body));
  const signed = {
    "x-signature-ed25519": toHex(proof),
    "x-signature-timestamp": ts,
    "content-type": "application/json",
  };
  const url = `http://reveille.test/webhooks/discord/main/${tail}`;
  return through(new Request(url, { method: "POST", headers: { ...signed, ...headers }, body }), VARS);
}

const snowflake = (): string => String((BigInt(Date.now() - 1_420_070_400_000) << 22n) + BigInt(unique()));
const tokenOf = (id: string): string => `aW50ZXJhY3Rpb246${id}-secret-of-this-call`;

/** An interaction as Discord sends it, with fresh ids. */
function interaction(type: number, data: unknown, more: Record<string, unknown> = {}) {
  const id = snowflake();
  return {
    id,
    application_id: APPLICATION,
    type,
    token: tokenOf(id),
    version: 1,
    guild_id: GUILD,
    channel_id: CHANNEL,
    channel: { id: CHANNEL, type: 0, name: "general" },
    context: 0,
    authorizing_integration_owners: { "0": GUILD },
    member: { user: { id: person, username: "ana" }, nick: null },
    data,
    ...more,
  };
}
const ask = (text: string) => ({
  id: "1500000000000000001",
  name: "ask",
  type: 1,
  options: [{ type: 3, name: "text", value: text }],
});

describe("discord", () => {
  it("a command is stored before it is put off, once, with ids of 18 and 20 digits", async () => {
    const before = (await home.rows()).length;
    const one = interaction(2, ask("is it up?"));
    const replies = await Promise.all([discord(one), discord(one), discord(one)]);
    for (const { status, body } of replies) expect([status, JSON.parse(body)]).toEqual([200, { type: 5 }]);
    const rows = (await home.rows()).slice(before);
    expect(rows).toHaveLength(1);
    expect(rows[0]).toMatchObject({
      platform: "discord",
      chat_id: CHANNEL,
      user_id: person,
      text: "/ask is it up?",
      state: "queued",
    });
  });

  it("who sees the reply is settled in the answer: a menu on a message, and what answers a hidden one, are private", async () => {
    const message = { id: "1400000000000000060", content: "failed", author: { id: "1", username: "bo" } };
    const menu = {
      id: "1500000000000000003",
      name: "Explain",
      type: 3,
      target_id: message.id,
      resolved: { messages: { [message.id]: message } },
    };
    expect(JSON.parse((await discord(interaction(2, menu))).body)).toEqual({ type: 5, data: { flags: 64 } });
    const form = { custom_id: "f", components: [{ type: 1, components: [{ type: 4, custom_id: "t", value: "x" }] }] };
    expect(JSON.parse((await discord(interaction(5, form))).body)).toEqual({ type: 5 });
    expect(JSON.parse((await discord(interaction(5, form, { message: { ...message, flags: 64 } }))).body)).toEqual({
      type: 5,
      data: { flags: 64 },
    });
    const press = { custom_id: "vote:yes", component_type: 2 };
    expect(JSON.parse((await discord(interaction(3, press, { message }))).body)).toEqual({ type: 6 });
  });

  it("reaches a gateway as the body it was, without its token anywhere and without the call's headers", async () => {
    const m = await made(["discord"]);
    const author = String(700000000000000000n + BigInt(unique()));
    await bind("discord", author, m.to);
    const scope = `14000000000000${String(10_000 + unique())}`;
    await edge.DB.prepare("INSERT INTO scope_route VALUES ('discord', ?, ?, 'test', 0)").bind(scope, m.to.tenant).run();
    const g = gateway(m, { identities: [{ platform: "discord", botId: "B-discord" }] });
    await g.connect();
    const one = interaction(2, null, { guild_id: scope, member: { user: { id: author, username: "ana" } } });
    const hook = `https://discord.com/api/webhooks/${APPLICATION}/${one.token}`;
    const body = {
      ...one,
      data: { ...ask(`${one.token} ${btoa(one.token)} ${hook}`), resolved: { x: { token: "another-token-0001" } } },
    };
    await discord(body, "interactions", { cookie: "a=b", authorization: "Bearer x" });
    await g.until("the forward", () => g.frames.some((f) => f["type"] === "passthrough_forward"));
    const { forward } = g.frames.find((f) => f["type"] === "passthrough_forward") as {
      forward: Record<string, string>;
    };
    expect(forward).toMatchObject({
      platform: "discord",
      botId: APPLICATION,
      method: "POST",
      headers: [["content-type", "application/json"]],
    });
    const sent = JSON.parse(atob(forward["bodyB64"]!)) as Record<string, unknown>;
    expect(sent).toMatchObject({
      id: one.id,
      type: 2,
      guild_id: scope,
      channel: one.channel,
      member: { user: { id: author } },
    });
    const text = JSON.stringify(sent);
    for (const secret of [one.token, btoa(one.token).replaceAll("=", ""), "another-token-0001", "/api/webhooks/"])
      expect(text).not.toContain(secret);
    expect(text).toContain("<REDACTED>");
  });

  it("nobody's command ends at once, in the same words whoever it is; nothing is stored", async () => {
    const stranger = { member: { user: { id: "999999999999999999", username: "x" } } };
    const replies = await Promise.all([
      discord(interaction(2, ask("hi"), stranger)),
      discord(interaction(2, ask("hi"), { ...stranger, guild_id: "1777777777777777777" })),
      discord(interaction(5, { custom_id: "f", components: [] }, stranger)),
    ]);
    expect(new Set(replies.map((r) => r.body)).size).toBe(1);
    expect(JSON.parse(replies[0]!.body)).toMatchObject({ type: 4, data: { flags: 64 } });
    const press = interaction(3, { custom_id: "vote:yes" }, { ...stranger, message: { id: "1" } });
    expect(JSON.parse((await discord(press)).body)).toEqual({ type: 6 });
  });

  it("/link is answered in the answer, to this person alone, and reaches no agent", async () => {
    const rt = runtimeOf(edge, "edge");
    const fresh = await makeHome();
    const { code } = await createLink({ db: edge.DB, runtime: rt, by: "test" }, fresh.to, "discord");
    const user = { member: { user: { id: String(800000000000000000n + BigInt(unique())), username: "bo" } } };
    const link = (text: string) =>
      interaction(2, { id: "1", name: "link", type: 1, options: [{ type: 3, name: "code", value: text }] }, user);
    const good = JSON.parse((await discord(link(code))).body) as {
      type: number;
      data: { flags: number; content: string };
    };
    expect([good.type, good.data.flags]).toEqual([4, 64]);
    expect(good.data.content).not.toContain(code);
    expect(JSON.parse((await discord(interaction(2, ask("now"), user))).body)).toEqual({ type: 5 });
    expect((await fresh.rows()).map((r) => r.text)).toEqual(["/ask now"]);
  });

  it("answers what is no event as Discord wants it", async () => {
    const bare = async (value: unknown, tail?: string) => {
      const { status, body } = await discord(value, tail);
      return [status, body];
    };
    expect(await bare({ type: 1, application_id: APPLICATION })).toEqual([200, '{"type":1}']);
    expect(await bare(interaction(4, ask("i")))).toEqual([200, '{"type":8,"data":{"choices":[]}}']);
    expect(await bare({ type: 0, version: 1, application_id: APPLICATION }, "events")).toEqual([204, ""]);
    expect(await bare(interaction(99, {}))).toEqual([400, ""]);
    expect(await bare({ ...interaction(2, ask("x")), application_id: "1299999999999999999" })).toEqual([401, ""]);
    expect(await bare([{ type: 1 }])).toEqual([400, ""]);
  });
});

async function whatsapp(value: unknown): Promise<Reply> {
  const body = utf8(JSON.stringify(value));
  const mac = toHex(await hmacSha256(VARS.REVEILLE_WHATSAPP_APP_SECRET, body));
  const headers = { "x-hub-signature-256": `sha256=${mac}`, "content-type": "application/json" };
  return through(new Request("http://reveille.test/webhooks/whatsapp/main", { method: "POST", headers, body }), VARS);
}

describe("whatsapp", () => {
  it("the answer to /link is said in the chat", async () => {
    const from = String(15_550_100_000 + unique());
    const message = { from, id: `wamid.link-${from}`, type: "text", text: { body: "/link nope" } };
    const value = { metadata: { phone_number_id: "106540352242922" }, messages: [message] };
    await whatsapp({ object: "whatsapp_business_account", entry: [{ changes: [{ field: "messages", value }] }] });
    const said = (await ledger()).posted.filter((m) => m.platform === "whatsapp" && m.chat === from);
    expect(said.map((m) => (m.body["text"] as { body: string }).body)).toEqual([NOT_LINKED]);
  });

  it("a batch is taken in its order; what comes again in another batch is not taken again", async () => {
    const n = unique();
    const message = (i: number) => ({
      from: "15550002222",
      id: `wamid.${n}-${i}`,
      type: "text",
      text: { body: `text ${n}-${i}` },
    });
    const batch = (ids: number[]) => ({
      object: "whatsapp_business_account",
      entry: ids.map((i) => ({
        id: "1",
        changes: [
          {
            field: "messages",
            value: {
              metadata: { phone_number_id: "106540352242922" },
              messages: [message(i)],
              statuses: [{ id: "x", status: "read" }],
            },
          },
        ],
      })),
    });
    expect((await whatsapp(batch([1, 2, 3]))).status).toBe(200);
    expect((await whatsapp(batch([3, 2, 4]))).status).toBe(200);
    const texts = (await home.rows()).filter((r) => r.platform === "whatsapp").map((r) => r.text);
    expect(texts).toEqual([1, 2, 3, 4].map((i) => `text ${n}-${i}`));
  });
});

async function sms(form: Record<string, string>): Promise<Reply> {
  const text =
    VARS.REVEILLE_TWILIO_WEBHOOK_URL +
    Object.keys(form)
      .sort()
      .map((k) => k + form[k])
      .join("");
  const hmac = { name: "HMAC", hash: "SHA-1" };
  const raw = await crypto.subtle.importKey("raw", utf8(VARS.REVEILLE_TWILIO_AUTH_TOKEN), hmac, false, ["sign"]);
  const mac = btoa(String.fromCharCode(...new Uint8Array(await crypto.subtle.sign("HMAC", raw, utf8(text)))));
  const headers = { "x-twilio-signature": mac, "content-type": "application/x-www-form-urlencoded" };
  const body = new URLSearchParams(form).toString();
  return through(new Request("http://reveille.test/webhooks/sms/main", { method: "POST", headers, body }), VARS);
}

describe("sms", () => {
  it("the answer to /link is in the answer to the call", async () => {
    const form = {
      MessageSid: `SM${unique()}`,
      From: "+15550004444",
      To: "+15550001111",
      Body: "/link nope",
      NumMedia: "0",
    };
    expect((await sms(form)).body).toBe(`<Response><Message>${NOT_LINKED}</Message></Response>`);
  });

  it("a text is stored once and answered with empty TwiML; a stop is told as one", async () => {
    const form = {
      MessageSid: `SM${unique()}`,
      From: "+15550003333",
      To: "+15550001111",
      Body: "café & more?",
      NumMedia: "0",
    };
    const [first, again] = [await sms(form), await sms(form)];
    for (const r of [first, again])
      expect([r.status, r.body, new Headers(r.headers).get("content-type")]).toEqual([
        200,
        "<Response/>",
        "text/xml; charset=utf-8",
      ]);
    await sms({ ...form, MessageSid: `SM${unique()}`, Body: "STOP" });
    const texts = (await home.rows()).filter((r) => r.platform === "sms").map((r) => r.text);
    expect(texts).toEqual(["café & more?", expect.stringMatching(/^STOP\n\[They unsubscribed/)]);
    expect((await sms({ ...form, From: "+15559999999", MessageSid: `SM${unique()}` })).body).toBe("<Response/>");
  });
});
