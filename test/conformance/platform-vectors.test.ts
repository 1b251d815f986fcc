import { createExecutionContext, waitOnExecutionContext } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, describe, expect, test, vi } from "vitest";
import type { EdgeEnv } from "../../src/edge/env";
import worker from "../../src/edge/index";
import { verifySlack, verifyTelegram } from "../../src/platform";
import slack from "./vectors/slack.json";
import telegram from "./vectors/telegram.json";

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
