import type { IncomingMessage } from "node:http";

/**
 * What platforms tell of an app itself, and let it set: Slack's auth.test, Telegram's getMe and webhook, Discord's application and
 * commands, WhatsApp's number, Twilio's account. What a credential is called chooses what is found: `refused`, `thin`, `sample` (the fixtures' own bot); the digits of
 * a Discord token are its application. `GET /_setup` tells what was set.
 */

type Body = Record<string, unknown>;
export interface SetupReply {
  status: number;
  body: unknown;
  headers?: Record<string, string>;
}

const PUBLIC_KEY = "d14cec5c1df8025a157d440f28b248029e62dbf1ef84de095d3c872c049cdd5f";
const SCOPES =
  "app_mentions:read,channels:history,groups:history,im:history,mpim:history,chat:write,commands,reactions:write,files:read,files:write,users:read";

export class SetupApis {
  readonly #webhooks: Record<string, Body> = {};
  /** By application. */
  readonly #commands: Record<string, Body[]> = {};
  readonly #puts: Record<string, number> = {};

  handle(req: IncomingMessage, path: string, raw: Buffer): SetupReply | null {
    const bearer = req.headers.authorization ?? "";
    const method = req.method ?? "";
    if (path === "/_setup")
      return { status: 200, body: { webhooks: this.#webhooks, commands: this.#commands, puts: this.#puts } };
    if (path === "/slack/api/auth.test") return slack(bearer);
    const telegram = /^\/telegram\/bot([^/]+)\/(getMe|getWebhookInfo|setWebhook|setMyCommands)$/.exec(path);
    if (telegram) return this.#telegram(decodeURIComponent(telegram[1]!), telegram[2]!, raw);
    if (path.startsWith("/discord/applications/")) return this.#discord(method, path.slice(21), bearer, raw);
    if (/^\/whatsapp\/[^/]+$/.test(path) && (req.url ?? "").includes("verified_name"))
      return bearer.includes("refused")
        ? { status: 401, body: { error: { code: 190, message: "Invalid OAuth access token" } } }
        : { status: 200, body: { id: path.slice(10), display_phone_number: "+1 555-000-1111", verified_name: "Acme" } };
    if (/^\/twilio\/2010-04-01\/Accounts\/AC\w+(\.json|\/IncomingPhoneNumbers\.json)$/.test(path)) return twilio(req);
    return null;
  }

  #telegram(token: string, method: string, raw: Buffer): SetupReply {
    const id = /^\d+/.exec(token)?.[0];
    if (!id || token.includes("refused"))
      return { status: 401, body: { ok: false, error_code: 401, description: "Unauthorized" } };
    const ok = (result: unknown): SetupReply => ({ status: 200, body: { ok: true, result } });
    if (method === "getMe")
      return ok({
        id: Number(id),
        is_bot: true,
        first_name: "Hermes",
        username: token.includes("sample") ? "HermesTestBot" : `Hermes${id}Bot`,
      });
    if (method === "getWebhookInfo") return ok({ url: "", pending_update_count: 0, ...this.#webhooks[id] });
    const body = JSON.parse(raw.toString("utf8")) as Body;
    if (method === "setMyCommands") return ok(Array.isArray(body["commands"]));
    if (!/^[A-Za-z0-9_-]{1,256}$/.test(String(body["secret_token"])))
      return {
        status: 400,
        body: { ok: false, error_code: 400, description: "Bad Request: secret token contains unallowed characters" },
      };
    const { url, allowed_updates, drop_pending_updates } = body;
    this.#webhooks[id] = { url, allowed_updates, drop_pending_updates };
    return ok(true);
  }

  #discord(method: string, rest: string, authorization: string, raw: Buffer): SetupReply {
    const application = /^Bot \D*(\d{17,20})/.exec(authorization)?.[1];
    if (!application) return { status: 401, body: { code: 0, message: "401: Unauthorized" } };
    if (rest === "/@me" || rest === "@me")
      return {
        status: 200,
        body: {
          id: application,
          name: "Hermes",
          verify_key: PUBLIC_KEY,
          interactions_endpoint_url: "http://reveille.test/webhooks/discord/main/interactions",
          bot: { id: application, username: "hermes", bot: true },
        },
      };
    if (rest.replace(/^\//, "") !== `${application}/commands`)
      return {
        status: 403,
        body: { code: 20012, message: "You are not authorized to perform this action on this application" },
      };
    if (method === "GET") return { status: 200, body: this.#commands[application] ?? [] };
    const given = JSON.parse(raw.toString("utf8")) as Body[];
    const bad = given.find((c) => !/^[-_\p{L}\p{N}]{1,32}$/u.test(String(c["name"])) && (c["type"] ?? 1) === 1);
    if (method !== "PUT" || !Array.isArray(given) || bad || given.some((c) => c["name"] === "refuse"))
      return { status: 400, body: { code: 50035, message: "Invalid Form Body" } };
    this.#puts[application] = (this.#puts[application] ?? 0) + 1;
    // As Discord gives them back: with ids and everything that was left out.
    this.#commands[application] = given.map((c, i) => ({
      ...c,
      id: `15000000000000${String(i).padStart(5, "0")}`,
      application_id: application,
      version: "1",
      default_member_permissions: null,
      nsfw: false,
      type: c["type"] ?? 1,
      ...(Array.isArray(c["options"]) && c["options"].length === 0 ? { options: undefined } : {}),
    }));
    return { status: 200, body: this.#commands[application] };
  }
}

function slack(authorization: string): SetupReply {
  if (!/^Bearer xoxb-/.test(authorization) || authorization.includes("refused"))
    return { status: 200, body: { ok: false, error: "invalid_auth" } };
  return {
    status: 200,
    headers: { "x-oauth-scopes": authorization.includes("thin") ? "chat:write,commands" : SCOPES },
    body: {
      ok: true,
      url: "https://acme.slack.com/",
      team: "Acme",
      user: "hermes",
      team_id: "T0HERMES01",
      user_id: "U0BOT00001",
      bot_id: "B0BOT00001",
    },
  };
}

function twilio(req: IncomingMessage): SetupReply {
  const given = Buffer.from((req.headers.authorization ?? "").replace(/^Basic /, ""), "base64").toString();
  if (!given || given.includes("refused"))
    return { status: 401, body: { code: 20003, message: "Authenticate", status: 401 } };
  const url = new URL(req.url ?? "/", "http://stand-in");
  if (url.pathname.endsWith("IncomingPhoneNumbers.json"))
    return {
      status: 200,
      body: {
        incoming_phone_numbers: [
          { phone_number: url.searchParams.get("PhoneNumber"), sms_url: "http://reveille.test/webhooks/sms/main" },
        ],
      },
    };
  return { status: 200, body: { sid: given.split(":")[0], friendly_name: "Acme", status: "active" } };
}
