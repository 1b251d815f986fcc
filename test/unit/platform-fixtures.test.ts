import { describe, expect, it } from "vitest";
import { ADAPTORS, type Adaptor, type Passthrough, type Reading } from "../../src/platform";

/**
 * The tables of chat-platforms §1.2, §1.6, §2.2, §2.6, §3.2, §3.6 and §4 as files: a body as the platform sends it, and what it must come to. Not
 * proven here: that the bodies are what the platforms send today.
 */

interface Fixture {
  what: string;
  platform: string;
  tail: string;
  body?: unknown;
  raw?: string;
  form?: Record<string, string>;
  payload?: unknown;
  expect: Omit<Reading, "secrets" | "shapes">;
}

const files = import.meta.glob<Fixture>("../support/fixtures/{slack,discord,telegram,whatsapp,sms}/*.json", {
  eager: true,
  import: "default",
});
const fixtures = Object.entries(files).map(([path, f]) => ({ name: `${f.platform}/${path.split("/").at(-1)}`, ...f }));

const BOTS = {
  slack: { bot_id: "U0BOT00001", bot_ref: "B0BOT00001", username: "hermes" },
  telegram: { bot_id: "7000001", bot_ref: null, username: "HermesTestBot" },
} as const;
const VARS = {
  REVEILLE_TELEGRAM_BOT_TOKEN: "7000001:anything",
  REVEILLE_DISCORD_APPLICATION_ID: "1200000000000000001",
  REVEILLE_WHATSAPP_PHONE_ID: "106540352242922",
  REVEILLE_TWILIO_ACCOUNT_SID: "AC00000000000000000000000000000001",
  REVEILLE_TWILIO_FROM: "+15550001111",
};
const NOW = 1_790_000_000_000;

const bodyOf = (f: Fixture): string => {
  if (f.form) return new URLSearchParams(f.form).toString();
  if (f.payload) return new URLSearchParams({ payload: JSON.stringify(f.payload) }).toString();
  return f.raw ?? JSON.stringify(f.body);
};
const adaptorOf = (f: Fixture): Adaptor => ADAPTORS.find((a) => a.name === f.platform)!;
const named = (name: string): Fixture => fixtures.find((f) => f.name === `${name}.json`)!;

const read = (f: Fixture, body = bodyOf(f), bot: keyof typeof BOTS | null = f.platform as keyof typeof BOTS) =>
  adaptorOf(f).read(
    {
      app: "app",
      tail: f.tail,
      method: "POST",
      url: new URL("http://reveille.test/"),
      headers: new Headers(),
      bytes: new TextEncoder().encode(body),
    },
    { bot: bot && (BOTS[bot] ?? null), now: NOW, vars: VARS },
  );

/** A passthrough's body as the JSON it is, so that a fixture can be read. */
const opened = (reading: Omit<Reading, "secrets" | "shapes">): unknown =>
  JSON.parse(
    JSON.stringify(reading, (key, value: unknown) => {
      if (key !== "passthrough" || value === null) return value;
      const { bodyB64, ...rest } = value as Passthrough;
      const bytes = Uint8Array.from(atob(bodyB64), (c) => c.charCodeAt(0));
      return { ...rest, body: JSON.parse(new TextDecoder().decode(bytes)) as unknown };
    }),
  );

describe("fixtures", () => {
  it("are all here", () => {
    expect(fixtures.filter((f) => f.platform === "slack")).toHaveLength(44);
    expect(fixtures.filter((f) => f.platform === "telegram")).toHaveLength(38);
    expect(fixtures.filter((f) => f.platform === "discord")).toHaveLength(24);
    expect(fixtures.filter((f) => f.platform === "whatsapp")).toHaveLength(18);
    expect(fixtures.filter((f) => f.platform === "sms")).toHaveLength(10);
  });

  it.each(fixtures)("$name: $what", async (f) => {
    const { secrets: _, shapes: __, ...reading } = await read(f);
    expect(opened(reading)).toEqual(f.expect);
  });

  it.each(fixtures)(
    "$name: always-rows are there, ids are texts, nothing credential-like is in an event",
    async (f) => {
      const { events, secrets } = await read(f);
      for (const { event, media, passthrough, d1, d2 } of events) {
        const { source } = event;
        for (const key of ["chat_name", "user_id", "user_name", "thread_id", "chat_topic"] as const)
          expect(source[key] === null || typeof source[key] === "string").toBe(true);
        for (const id of [source.chat_id, event.message_id, event.reply_to_message_id])
          expect(id === null || typeof id === "string").toBe(true);
        expect([typeof source.is_bot, source.message_is_edit]).toEqual(["boolean", false]);
        expect(event.message_id ?? undefined).toBe(source.message_id);
        // What is stored, but the words a person wrote: those are cleaned by the pipeline.
        const body = passthrough && (JSON.parse(atob(passthrough.bodyB64)) as { data: { options?: unknown } });
        delete body?.data.options;
        const headers = passthrough?.headers;
        const stored = JSON.stringify({ ...event, text: "", media, body, headers, d1, d2 });
        for (const secret of secrets) expect(stored).not.toContain(secret);
        expect(stored).not.toMatch(/hooks\.slack\.com|trigger|business_connection/);
      }
    },
  );
});

describe("twins and repeats", () => {
  const keys = async (name: string) => {
    const [one] = (await read(named(name))).events;
    return [one!.d1, one!.d2];
  };
  it("app_mention and message.channels of one message differ in d1 and agree in d2", async () => {
    const [a, b] = [await keys("slack/channel-mention"), await keys("slack/channel-mention-twin")];
    expect(a[0]).not.toBe(b[0]);
    expect(a[1]).toBe(b[1]);
  });
  it("a repeat agrees in d1, a message sent again under a new event id in d2", async () => {
    expect(await keys("slack/retry-2")).toEqual(await keys("slack/retry-1"));
    const again = await keys("slack/resent");
    expect(again[1]).toBe((await keys("slack/retry-1"))[1]);
    expect(again[0]).not.toBe((await keys("slack/retry-1"))[0]);
  });
  it("a press twice is one event, two presses are two", async () => {
    const press = named("slack/press");
    const later = structuredClone(press) as typeof press & {
      payload: { actions: { action_ts: string }[]; trigger_id: string };
    };
    later.payload.actions[0]!.action_ts = "1790000099.000001";
    later.payload.trigger_id = "6000000000099.1.aa";
    const [one, same, other] = await Promise.all([read(press), read(press), read(later)]);
    expect(same.events[0]!.d1).toBe(one.events[0]!.d1);
    expect(other.events[0]!.d1).not.toBe(one.events[0]!.d1);
    expect(other.events[0]!.event.message_id).not.toBe(one.events[0]!.event.message_id);
  });
  it("a trigger is in no key: only its hash is", async () => {
    const { events } = await read(named("slack/slash"));
    expect(JSON.stringify([events[0]!.d1, events[0]!.d2])).not.toContain("6000000000004");
  });
});

describe("discord", () => {
  const discord = (name: string) => named(`discord/${name}`);
  const changed = (name: string, change: Record<string, unknown>) =>
    read(discord(name), JSON.stringify({ ...(discord(name).body as object), ...change }));

  it("an unknown type is refused: Discord shows that nothing answers", async () => {
    await expect(changed("command", { type: 99 })).rejects.toThrow("interaction type 99");
  });
  it("a body that is no object is refused, whatever it says", async () => {
    for (const body of ["1", "[]", "null", '"x"', '[{"type":1}]'])
      await expect(read(discord("ping"), body)).rejects.toThrow();
  });
  it("deep nesting is refused, not a fault of ours", async () => {
    const options = `${'[{"name":"a","type":1,"options":'.repeat(20_000)}[]${"}]".repeat(20_000)}`;
    const body = JSON.stringify({ ...(discord("command").body as object), data: { name: "ask", options: 0 } });
    await expect(read(discord("command"), body.replace('"options":0', `"options":${options}`))).rejects.toThrow(
      /deep|shape/,
    );
  });
  it("an interaction of nobody, or nowhere, is refused", async () => {
    await expect(changed("command", { member: null })).rejects.toThrow("another shape");
    await expect(changed("command", { channel: null, channel_id: null })).rejects.toThrow("another shape");
  });
  it("the token lives 14 minutes from the interaction's own time, never from a later one", async () => {
    const old = await changed("command", { id: "1300000000000000001" });
    expect(old.events[0]!.capabilities[0]!.expires_at).toBe(
      Number(1300000000000000001n >> 22n) + 1_420_070_400_000 + 840_000,
    );
    const future = await changed("command", { id: "18446744073709551615" });
    expect(future.events[0]!.capabilities[0]!.expires_at).toBe(NOW + 840_000);
  });
  it("no header of the call is passed on", async () => {
    const headers = new Headers({ authorization: "Bearer x", cookie: "a=b", "x-signature-ed25519": "00" });
    const call = {
      app: "app",
      tail: "interactions",
      method: "POST" as const,
      url: new URL("http://reveille.test/"),
      headers,
    };
    const bytes = new TextEncoder().encode(bodyOf(discord("command")));
    const { events } = await adaptorOf(discord("command")).read(
      { ...call, bytes },
      { bot: null, now: NOW, vars: VARS },
    );
    expect(events[0]!.passthrough!.headers).toEqual([["content-type", "application/json"]]);
  });
  it("without its rule the token would be in what is forwarded", async () => {
    const f = discord("command");
    const bytes = new TextEncoder().encode(bodyOf(f));
    const call = {
      app: "app",
      tail: "interactions",
      method: "POST" as const,
      url: new URL("http://a/"),
      headers: new Headers(),
      bytes,
    };
    const { token } = f.body as { token: string };
    const forwarded = async (rules?: []) => {
      const { events } = await adaptorOf(f).read(call, {
        bot: null,
        now: NOW,
        vars: VARS,
        ...(rules ? { rules } : {}),
      });
      return atob(events[0]!.passthrough!.bodyB64);
    };
    expect(await forwarded([])).toContain(token);
    expect(await forwarded()).not.toContain(token);
  });
});

describe("before the set-up check", () => {
  it("Slack's events tell who the bot is", async () => {
    const { events } = await read(named("slack/private-channel"), undefined, null);
    expect(events[0]!.addressed).toBe(true);
    expect((await read(named("slack/own-echo"), undefined, null)).events[0]!.own).toBe(true);
  });
  it("Telegram's token tells the bot's id; a command by name is ours only in private", async () => {
    expect((await read(named("telegram/own"), undefined, null)).events[0]!.own).toBe(true);
    expect((await read(named("telegram/group-reply"), undefined, null)).events[0]!.addressed).toBe(true);
    expect((await read(named("telegram/command"), undefined, null)).events).toEqual([]);
  });
});

describe("malformed", () => {
  it.each([
    ["slack/im-text", "{"],
    ["telegram/private-text", ""],
    ["telegram/private-text", '{"update_id":1,"update_id":90071992547409930}'],
    ["telegram/private-text", `${"[".repeat(70)}9007199254740993${"]".repeat(70)}`],
  ])("%s as %j", async (name, body) => {
    await expect(read(named(name), body)).rejects.toThrow(/not JSON|duplicate|key|deep|nest/i);
  });

  it.each(["null", "1", "[]", "{}", '{"update_id":"x"}', '{"update_id":1,"message":{"message_id":1}}'])(
    "%s is ignored with a reason",
    async (body) => {
      for (const name of ["slack/im-text", "telegram/private-text"]) {
        const reading = await read(named(name), body);
        expect([reading.events, typeof reading.ignored]).toEqual([[], "string"]);
      }
    },
  );

  it("deep nesting is survived", async () => {
    const deep = `{"a":${"[".repeat(20_000)}${"]".repeat(20_000)}}`;
    expect((await read(named("slack/im-text"), deep)).events).toEqual([]);
    const blocks = JSON.parse(JSON.stringify(named("slack/blocks-only").body)) as { event: { blocks: unknown[] } };
    let nest: unknown = { type: "text", text: "end" };
    for (let i = 0; i < 5_000; i++) nest = { type: "rich_text", elements: [nest] };
    blocks.event.blocks = [nest];
    expect((await read(named("slack/blocks-only"), JSON.stringify(blocks))).events).toHaveLength(1);
  });
});
