import { createExecutionContext, waitOnExecutionContext } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, describe, expect, test, vi } from "vitest";
import type { EdgeEnv } from "../../src/edge/env";
import worker from "../../src/edge/index";
import { verifyDiscord, verifySlack, verifyTelegram, verifyTwilio, verifyWhatsApp } from "../../src/platform";
import discord from "./vectors/discord.json";
import slack from "./vectors/slack.json";
import telegram from "./vectors/telegram.json";
import twilio from "./vectors/twilio.json";
import whatsapp from "./vectors/whatsapp.json";

/**
 * The golden vectors of chat-platforms §5, each through the pure verifier and through the whole edge Worker with the
 * vector's secret and clock. Not proven here: that the platforms sign as the vectors do (their published example is among
 * them).
 */

interface Vector {
  name: string;
  verify_with_secret: string;
  verify_with_secrets?: string[];
  now?: number;
  headers: string[][];
  body_b64: string;
  expect: string;
  http_status: number;
  http_status_after_parse?: number;
  public_key_hex?: string;
  public_url?: string;
  response?: unknown;
}

const bytesOf = (v: Vector): Uint8Array => Uint8Array.from(atob(v.body_b64), (c) => c.charCodeAt(0));
const headersOf = (v: Vector): Headers =>
  new Headers(v.headers.map(([name, value]) => [name!, value!] as [string, string]));
const secretsOf = (v: Vector): string[] => v.verify_with_secrets ?? [v.verify_with_secret];

afterEach(() => {
  vi.restoreAllMocks();
});

/** The Worker with the vector's secrets, at the vector's time: a fresh environment has a clock of its own. */
async function through(v: Vector, path: string, vars: Record<string, string>): Promise<Response> {
  if (v.now !== undefined) vi.spyOn(Date, "now").mockReturnValue(v.now * 1000);
  const ctx = createExecutionContext();
  const request = new Request(`http://reveille.test${path}`, {
    method: "POST",
    headers: headersOf(v),
    body: bytesOf(v),
  });
  const response = await worker.fetch(
    request as Request<unknown, IncomingRequestCfProperties>,
    { ...(env as unknown as EdgeEnv), ...vars },
    ctx,
  );
  await waitOnExecutionContext(ctx);
  return response;
}

describe("slack", () => {
  const vectors = slack.cases as Vector[];
  test("all 36 are here", () => expect(vectors).toHaveLength(36));

  test.each(vectors)("$name: $expect", async (v) => {
    expect(await verifySlack(headersOf(v), bytesOf(v), secretsOf(v), v.now!)).toBe(v.expect);
  });

  test.each(vectors)("$name through the Worker: $http_status", async (v) => {
    const form = headersOf(v).get("content-type")?.includes("form") === true;
    const [newest, old = ""] = secretsOf(v);
    const response = await through(v, `/webhooks/slack/app/${form ? "interactions" : "events"}`, {
      REVEILLE_SLACK_SIGNING_SECRET: newest!,
      REVEILLE_SLACK_SIGNING_SECRET_OLD: old,
    });
    expect(response.status).toBe(v.http_status_after_parse ?? v.http_status);
    const body = await response.text();
    if (v.name === "url_verification_ok")
      expect(body).toMatch(/^3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P$/);
    else expect(body).toBe("");
  });
});

describe("telegram", () => {
  const vectors = telegram.cases as Vector[];
  test("all 8 are here", () => expect(vectors).toHaveLength(8));

  test.each(vectors)("$name: $expect", async (v) => {
    expect(await verifyTelegram(headersOf(v), secretsOf(v))).toBe(v.expect);
  });

  test.each(vectors)("$name through the Worker: $http_status", async (v) => {
    const response = await through(v, "/webhooks/telegram/app", {
      REVEILLE_TELEGRAM_SECRET_TOKEN: v.verify_with_secret,
    });
    expect([response.status, await response.text()]).toEqual([v.http_status, ""]);
  });
});

describe("discord", () => {
  const vectors = discord.cases as unknown as Vector[];
  test("all 30 are here", () => expect(vectors).toHaveLength(30));

  test.each(vectors)("$name: $expect", async (v) => {
    expect(await verifyDiscord(headersOf(v), bytesOf(v), v.public_key_hex!, v.now!)).toBe(v.expect);
  });

  test.each(vectors)("$name through the Worker: $http_status", async (v) => {
    const response = await through(v, "/webhooks/discord/app/interactions", {
      REVEILLE_DISCORD_PUBLIC_KEY: v.public_key_hex!,
      REVEILLE_DISCORD_APPLICATION_ID: "1200000000000000001",
    });
    expect(response.status).toBe(v.http_status_after_parse ?? v.http_status);
    const body = await response.text();
    if (v.name === "ping_ok") expect(JSON.parse(body)).toEqual(v.response);
    // Nobody is linked: what would be put off for ever is answered at once, to this person alone.
    else if (v.name === "command_ok") expect(JSON.parse(body)).toMatchObject({ type: 4, data: { flags: 64 } });
    else expect(body).toBe(v.http_status === 200 && v.expect === "ok" && bytesOf(v).length > 4 ? '{"type":1}' : "");
  });

  test.each([
    "0000000000000000000000000000000000000000000000000000000000000000",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  ])("a key of small order, %s, proves nothing", async (key) => {
    const v = vectors.find((x) => x.name === "identity_point_key_forgery")!;
    expect(await verifyDiscord(headersOf(v), bytesOf(v), key, v.now!)).toBe("bad_key");
  });
});

describe("whatsapp", () => {
  const vectors = whatsapp.cases as Vector[];
  test("all 6 are here", () => expect(vectors).toHaveLength(6));

  test.each(vectors)("$name: $expect", async (v) => {
    expect(await verifyWhatsApp(headersOf(v), bytesOf(v), v.verify_with_secret)).toBe(v.expect);
  });

  test.each(vectors)("$name through the Worker: $http_status", async (v) => {
    const response = await through(v, "/webhooks/whatsapp/app", {
      REVEILLE_WHATSAPP_APP_SECRET: v.verify_with_secret,
    });
    expect([response.status, await response.text()]).toEqual([v.http_status, ""]);
  });

  const shake = async (query: string, verify_token: string): Promise<Response> => {
    const ctx = createExecutionContext();
    const vars = { REVEILLE_WHATSAPP_APP_SECRET: "s".repeat(32), REVEILLE_WHATSAPP_VERIFY_TOKEN: verify_token };
    const request = new Request(`http://reveille.test/webhooks/whatsapp/app?${query}`);
    const response = await worker.fetch(
      request as Request<unknown, IncomingRequestCfProperties>,
      { ...(env as unknown as EdgeEnv), ...vars },
      ctx,
    );
    await waitOnExecutionContext(ctx);
    return response;
  };
  test("the handshake repeats the challenge as plain text, and only to who knows the token", async () => {
    const good = await shake(whatsapp.verify_get.query, whatsapp.verify_get.verify_token);
    expect([good.status, good.headers.get("content-type"), await good.text()]).toEqual([
      200,
      "text/plain",
      whatsapp.verify_get.body,
    ]);
    for (const [query, token] of [
      [whatsapp.verify_get_wrong.query, whatsapp.verify_get_wrong.verify_token],
      ["hub.mode=subscribe&hub.verify_token=&hub.challenge=1", ""],
      ["hub.mode=unsubscribe&hub.verify_token=tok123&hub.challenge=1", "tok123"],
    ] as const) {
      const bad = await shake(query, token);
      expect([bad.status, await bad.text()]).toEqual([403, ""]);
    }
  });
});

describe("twilio", () => {
  const vectors = twilio.cases as Vector[];
  test("all 8 are here", () => expect(vectors).toHaveLength(8));

  test.each(vectors)("$name: $expect", async (v) => {
    expect(await verifyTwilio(headersOf(v), bytesOf(v), [v.public_url!], v.verify_with_secret)).toBe(v.expect);
  });

  test.each(vectors)("$name through the Worker: $http_status", async (v) => {
    const response = await through(v, "/webhooks/sms/app", {
      REVEILLE_TWILIO_AUTH_TOKEN: v.verify_with_secret,
      REVEILLE_TWILIO_WEBHOOK_URL: v.public_url!,
    });
    expect([response.status, await response.text()]).toEqual([
      v.http_status,
      v.http_status === 200 ? "<Response/>" : "",
    ]);
  });

  test("the public URL and what the call's own query adds to it are tried, a foreign host never", async () => {
    const v = vectors.find((x) => x.name === "json_body_sha256_ok")!;
    const query = new URL(v.public_url!).search;
    const status = async (url: string) =>
      (
        await through(v, `/webhooks/sms/app${query}`, {
          REVEILLE_TWILIO_AUTH_TOKEN: v.verify_with_secret,
          REVEILLE_TWILIO_WEBHOOK_URL: url,
        })
      ).status;
    expect(await status("https://edge.example.com/twilio/sms?t=acme")).toBe(200);
    expect(await status("https://edge.example.com:443/twilio/sms")).toBe(200);
    expect(await status("https://other.example.com/twilio/sms")).toBe(403);
    expect(await status("")).toBe(403);
  });
});

describe("keys", () => {
  const good = (slack.cases as Vector[])[0]!;
  test("no key at all is bad_key, never ok", async () => {
    expect(await verifySlack(headersOf(good), bytesOf(good), ["", ""], good.now!)).toBe("bad_key");
    expect(await verifyTelegram(new Headers({ "x-telegram-bot-api-secret-token": "" }), [""])).toBe("bad_key");
  });

  test("an unset secret shuts the door, and says so only in the log", async () => {
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    const off = { REVEILLE_SLACK_SIGNING_SECRET: "", SLACK_SIGNING_SECRET: "", REVEILLE_TELEGRAM_SECRET_TOKEN: "" };
    for (const path of ["/webhooks/slack/app/events", "/webhooks/telegram/app"]) {
      const response = await through(good, path, off);
      expect([response.status, await response.text()]).toEqual([503, ""]);
    }
    expect(log.mock.calls.join()).toContain("is not set; every call is refused");
  });

  test("a Telegram secret that setWebhook would refuse is our fault: 500", async () => {
    const v = (telegram.cases as Vector[])[0]!;
    expect((await through(v, "/webhooks/telegram/app", { REVEILLE_TELEGRAM_SECRET_TOKEN: "has spaces" })).status).toBe(
      500,
    );
  });
});
