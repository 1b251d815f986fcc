import { createHmac, timingSafeEqual } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Behaviour, HookCall, Ledger, Platform } from "./platforms.types";
import { FORM_ONLY, formOf, MoreApis } from "./platforms-egress";
import { SetupApis } from "./platforms-setup";
import { testVars } from "./test-vars";

/**
 * The chat platforms and a webhook receiver as the outside world shows them: Slack Web API under `/slack/api`, Telegram Bot
 * API under `/telegram`, the notice webhook at `/hook`. `POST /_control` sets how each behaves, `GET /_ledger` tells what it
 * received: the oracle of tests and drills.
 */

export interface PlatformsOptions {
  slackToken?: string;
  telegramToken?: string;
  webhookSecret?: string;
  discordToken?: string;
  whatsappToken?: string;
  /** Account id and token, with a colon between. */
  twilio?: string;
}
export interface Platforms {
  url: string;
  port: number;
  ledger(): Ledger;
  control(change: Partial<Record<Platform, Behaviour>> & { reset?: boolean }): void;
  close(): Promise<void>;
}

type Body = Record<string, unknown>;
const PLATFORMS = ["slack", "telegram", "webhook", "discord", "whatsapp", "sms"] as const;

const emptyLedger = (): Ledger => ({
  calls: [],
  posted: [],
  acts: [],
  slack: [],
  telegram: [],
  telegram_answers: [],
  webhook: [],
  wakes: [],
});
const allOk = (): Record<Platform, Behaviour> => ({
  slack: { mode: "ok" },
  telegram: { mode: "ok" },
  webhook: { mode: "ok" },
  discord: { mode: "ok" },
  whatsapp: { mode: "ok" },
  sms: { mode: "ok" },
});

export async function startPlatforms(port = 0, options: PlatformsOptions = {}): Promise<Platforms> {
  const defaults = testVars({ platformsUrl: "" });
  const secrets = {
    slack: options.slackToken ?? defaults["REVEILLE_SLACK_BOT_TOKEN"]!,
    telegram: options.telegramToken ?? defaults["REVEILLE_TELEGRAM_BOT_TOKEN"]!,
    webhook: options.webhookSecret ?? defaults["REVEILLE_WEBHOOK_SECRET"]!,
    discord: options.discordToken ?? defaults["REVEILLE_DISCORD_BOT_TOKEN"]!,
    whatsapp: options.whatsappToken ?? defaults["REVEILLE_WHATSAPP_ACCESS_TOKEN"]!,
    twilio: options.twilio ?? `${defaults["REVEILLE_TWILIO_ACCOUNT_SID"]}:${defaults["REVEILLE_TWILIO_AUTH_TOKEN"]}`,
  };
  let ledger = emptyLedger();
  let behaviour = allOk();
  let serial = 0;

  const control: Platforms["control"] = (change) => {
    if (change.reset) {
      ledger = emptyLedger();
      behaviour = allOk();
    }
    for (const name of PLATFORMS) if (change[name]) behaviour[name] = { ...change[name] };
  };

  /** How the next call of a platform goes; a limited behaviour is used up by it. */
  const next = (platform: Platform, method: string): Behaviour => {
    const set = behaviour[platform];
    if (set.method !== undefined && set.method !== method) {
      ledger.calls.push({ platform, method, mode: "ok", at: Date.now() });
      return { mode: "ok" };
    }
    if (set.times !== undefined && set.times-- <= 0) behaviour[platform] = { mode: "ok" };
    const now = behaviour[platform];
    ledger.calls.push({ platform, method, mode: now.mode, at: Date.now() });
    return now;
  };

  let base = "";
  const setups = new SetupApis();
  const more = new MoreApis({ next, ledger: () => ledger, serial: () => ++serial, secrets, url: () => base });

  const server = createServer((req, res) => {
    handle(req, res).catch((error) => {
      if (!res.headersSent) json(res, 500, { error: String(error) });
    });
  });

  async function handle(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const path = new URL(req.url ?? "/", "http://stand-in").pathname;
    const raw = await readBody(req);
    if (path === "/_ledger" && req.method === "GET") return json(res, 200, ledger);
    if (path === "/_control" && req.method === "POST") {
      control(JSON.parse(raw.toString("utf8")));
      return json(res, 200, { ok: true });
    }
    if (path.startsWith("/wake")) {
      const { method = "", headers, url = "" } = req;
      ledger.wakes.push({ method, path: url, headers: Object.keys(headers), body: raw.toString("utf8") });
      if (path === "/wake-moved") return void res.writeHead(302, { location: "/wake-there" }).end();
      if (path === "/wake-away") return void res.writeHead(302, { location: "http://127.0.0.1:1/wake" }).end();
      return json(res, 500, { ok: false });
    }
    const setup = setups.handle(req, path, raw);
    if (setup) return json(res, setup.status, setup.body, setup.headers);
    if (await more.handle(req, res, path, raw)) return;
    if (req.method !== "POST") return json(res, 405, { ok: false });
    const slack = /^\/slack\/api\/([A-Za-z.]+)$/.exec(path);
    if (slack) return slackCall(req, res, slack[1]!, raw);
    const telegram = /^\/telegram\/bot([^/]+)\/([A-Za-z]+)$/.exec(path);
    if (telegram) return telegramCall(res, telegram[1]!, telegram[2]!, raw, req.headers["content-type"]);
    if (path === "/hook") return hookCall(req, res, raw);
    json(res, 404, { ok: false, error: "no such path" });
  }

  async function slackCall(req: IncomingMessage, res: ServerResponse, method: string, raw: Buffer): Promise<void> {
    const b = next("slack", method);
    if (b.delay) await sleep(b.delay);
    if (b.mode === "hang") return;
    if (b.mode === "ratelimited")
      return json(res, 429, { ok: false, error: "ratelimited" }, { "retry-after": String(b.retry_after ?? 1) });
    if (b.mode === "5xx") return json(res, 503, { ok: false, error: "service_unavailable" });
    if (b.mode === "html") return html(res);
    if (b.mode === "redirect") return redirect(res);
    if (b.mode === "invalid_auth" || req.headers.authorization !== `Bearer ${secrets.slack}`)
      return json(res, 200, { ok: false, error: "invalid_auth" });
    if (b.mode === "ok_false") return json(res, 200, { ok: false, error: b.error ?? "channel_not_found" });
    const isJson = /^application\/json/i.test(req.headers["content-type"] ?? "");
    // Reading methods take forms alone, writing ones JSON.
    if (isJson === FORM_ONLY.has(method)) return json(res, 200, { ok: false, error: "invalid_post_type" });
    const body = (isJson ? JSON.parse(raw.toString("utf8")) : formOf(raw)) as Body;
    const answer =
      method === "chat.postMessage"
        ? slackPost(body)
        : method === "chat.update"
          ? slackUpdate(body)
          : more.slack(method, body, ledger.slack);
    if (b.mode === "apply_then_hang") return;
    if (b.mode === "apply_then_5xx") return json(res, 502, {});
    json(res, 200, answer ?? { ok: false, error: "unknown_method" });
  }

  function slackPost(body: Body): Body {
    const wrong = slackRefusal(body);
    if (wrong) return { ok: false, error: wrong };
    const asked = String(body["channel"]);
    // A user id opens the DM with that user; the answer names the DM channel.
    const channel = /^[UW]/.test(asked) ? `D${asked.slice(1)}` : asked;
    const ts = `${1_790_000_000 + ++serial}.${String(serial).padStart(6, "0")}`;
    ledger.slack.push({
      channel,
      ts,
      text: String(body["text"] ?? ""),
      blocks: (body["blocks"] as unknown[]) ?? [],
      thread_ts: (body["thread_ts"] as string) ?? null,
      reply_broadcast: body["reply_broadcast"] === true,
      client_msg_id: (body["client_msg_id"] as string) ?? null,
      edits: [],
    });
    return { ok: true, channel, ts, message: { type: "message", text: body["text"], ts } };
  }

  function slackUpdate(body: Body): Body {
    const wrong = slackRefusal(body);
    if (wrong) return { ok: false, error: wrong };
    const message = ledger.slack.find((m) => m.channel === body["channel"] && m.ts === body["ts"]);
    if (!message) return { ok: false, error: "message_not_found" };
    // Blocks left out of an update stay as they were.
    const last = message.edits.at(-1)?.blocks ?? message.blocks;
    message.edits.push({ text: String(body["text"] ?? ""), blocks: (body["blocks"] as unknown[]) ?? last });
    return { ok: true, channel: message.channel, ts: message.ts, text: body["text"] };
  }

  async function telegramCall(
    res: ServerResponse,
    token: string,
    method: string,
    raw: Buffer,
    contentType?: string,
  ): Promise<void> {
    const b = next("telegram", method);
    if (b.delay) await sleep(b.delay);
    if (b.mode === "hang") return;
    if (b.mode === "ratelimited") {
      const retry_after = b.retry_after ?? 1;
      return json(res, 429, telegramError(429, `Too Many Requests: retry after ${retry_after}`, { retry_after }));
    }
    if (b.mode === "5xx") return json(res, 502, telegramError(502, "Bad Gateway"));
    if (b.mode === "html") return html(res);
    if (b.mode === "redirect") return redirect(res);
    if (b.mode === "invalid_auth" || decodeURIComponent(token) !== secrets.telegram)
      return json(res, 401, telegramError(401, "Unauthorized"));
    if (b.mode === "ok_false")
      return json(res, 403, telegramError(403, b.error ?? "Forbidden: bot was blocked by the user"));
    const multipart = /^multipart\/form-data/i.test(contentType ?? "");
    const answer = multipart
      ? await more.telegramFile(method, raw, contentType!)
      : telegramApply(method, JSON.parse(raw.toString("utf8")) as Body);
    if (b.mode === "apply_then_hang") return;
    if (b.mode === "apply_then_5xx") return json(res, 502, telegramError(502, "Bad Gateway"));
    json(res, answer.ok ? 200 : (answer.error_code as number), answer);
  }

  function telegramApply(method: string, body: Body): Body & { ok: boolean } {
    if (method === "answerCallbackQuery") {
      ledger.telegram_answers.push({
        callback_query_id: String(body["callback_query_id"]),
        text: (body["text"] as string) ?? null,
        show_alert: body["show_alert"] === true,
      });
      return { ok: true, result: true };
    }
    const other = more.telegram(method, body, ledger.telegram);
    if (other) return other;
    if (method !== "sendMessage" && method !== "editMessageText") return telegramError(404, "Not Found");
    const wrong = telegramRefusal(body);
    if (wrong) return telegramError(400, `Bad Request: ${wrong}`);
    const chat_id = String(body["chat_id"]);
    const text = String(body["text"]).trim();
    if (method === "sendMessage") {
      const message_id = 100 + ++serial;
      if (body["message_thread_id"] === 404) return telegramError(400, "Bad Request: message thread not found");
      const reply = body["reply_parameters"] as { message_id?: number } | undefined;
      const entities = (body["entities"] as unknown[]) ?? [];
      const reply_markup = body["reply_markup"] ?? null;
      ledger.telegram.push({
        chat_id,
        message_id,
        text,
        entities,
        reply_markup,
        reply_to: reply?.message_id ?? null,
        edits: [],
      });
      return {
        ok: true,
        result: { message_id, date: 1_790_000_000, chat: { id: Number(chat_id), type: "private" }, text },
      };
    }
    const message = ledger.telegram.find((m) => m.chat_id === chat_id && m.message_id === Number(body["message_id"]));
    if (!message) return telegramError(400, "Bad Request: message to edit not found");
    const shown = message.edits.at(-1) ?? message;
    const reply_markup = body["reply_markup"] ?? null;
    if (shown.text === text && JSON.stringify(shown.reply_markup) === JSON.stringify(reply_markup))
      return telegramError(
        400,
        "Bad Request: message is not modified: specified new message content and reply markup are exactly the same as a current content and reply markup of the message",
      );
    message.edits.push({ text, reply_markup });
    return { ok: true, result: { message_id: message.message_id, text } };
  }

  async function hookCall(req: IncomingMessage, res: ServerResponse, raw: Buffer): Promise<void> {
    const b = next("webhook", "POST");
    if (b.delay) await sleep(b.delay);
    if (b.mode === "hang") return;
    if (b.mode === "ratelimited") return json(res, 429, {}, { "retry-after": String(b.retry_after ?? 1) });
    if (b.mode === "5xx") return json(res, 503, {});
    if (b.mode === "invalid_auth") return json(res, 401, {});
    if (b.mode === "ok_false") return json(res, 400, { error: b.error ?? "refused" });
    if (b.mode === "redirect") return redirect(res);
    if (b.mode === "html") return html(res);
    const header = (name: string): string | null => (req.headers[name] as string | undefined) ?? null;
    const timestamp = header("reveille-timestamp");
    ledger.webhook.push({
      signature: checkSignature(secrets.webhook, header("reveille-signature"), timestamp, raw),
      timestamp,
      idempotency_key: header("idempotency-key"),
      content_type: header("content-type"),
      body: JSON.parse(raw.toString("utf8")),
    });
    if (b.mode === "apply_then_hang") return;
    json(res, 200, {});
  }

  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  const bound = (server.address() as AddressInfo).port;
  base = `http://127.0.0.1:${bound}`;
  return {
    url: `http://127.0.0.1:${bound}`,
    port: bound,
    ledger: () => ledger,
    control,
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}

/** Slack's checks that a caller can trip over (chat-platforms §1.4). */
function slackRefusal(body: Body): string | null {
  const channel = String(body["channel"] ?? "");
  if (!/^[CDGUW][A-Z0-9]{2,}$/.test(channel) || channel === "C0MISSING") return "channel_not_found";
  const text = String(body["text"] ?? "");
  const blocks = (body["blocks"] as Body[] | undefined) ?? [];
  if (text === "" && blocks.length === 0) return "no_text";
  if (text.length > 40_000) return "msg_too_long";
  if (blocks.length > 50) return "invalid_blocks";
  // Notices quote outsiders, so they hold no live markup at all; nobody may call a whole channel.
  const live = blocks.length > 0 ? /<(?!\/)[@#!][^>]*>|<https?:[^>]*>/ : /<![^>]*>/;
  if (live.test(JSON.stringify([text, blocks]))) return "stand_in_saw_live_markup";
  const ids: string[] = [];
  for (const block of blocks) {
    const content = block["text"] as { text?: string } | undefined;
    if (block["type"] === "section" && !(content?.text && content.text.length <= 3_000)) return "invalid_blocks";
    if (block["type"] !== "actions") continue;
    const elements = block["elements"] as { action_id?: string; text: { type: string; text: string } }[];
    if (elements.length === 0 || elements.length > 25) return "invalid_blocks";
    for (const e of elements) {
      if (e.text.type !== "plain_text" || e.text.text.length > 75 || (e.action_id ?? "").length > 255)
        return "invalid_blocks";
      if (e.action_id) ids.push(e.action_id);
    }
  }
  return new Set(ids).size === ids.length ? null : "invalid_blocks";
}

/** Telegram's checks (chat-platforms §3.4). Lengths are UTF-16 units, callback data is bytes. */
function telegramRefusal(body: Body): string | null {
  if (!/^-?\d+$/.test(String(body["chat_id"] ?? "")) || String(body["chat_id"]) === "404") return "chat not found";
  const text = String(body["text"] ?? "");
  if (text.trim() === "") return "message text is empty";
  if (text.length > 4_096) return "message is too long";
  for (const e of (body["entities"] as { offset: number; length: number }[] | undefined) ?? [])
    if (!(e.offset >= 0 && e.length > 0 && e.offset + e.length <= text.length))
      return "can't parse entities: entity out of bounds";
  const markup = body["reply_markup"] as { inline_keyboard?: { callback_data?: string; url?: string }[][] } | undefined;
  for (const button of markup?.inline_keyboard?.flat() ?? []) {
    if (button.callback_data !== undefined && !between(Buffer.byteLength(button.callback_data), 1, 64))
      return "BUTTON_DATA_INVALID";
    if (button.url !== undefined && !/^(https?|tg):\/\/[^/]*\.[^/]*/.test(button.url))
      return `inline keyboard button URL '${button.url}' is invalid: Wrong HTTP URL`;
  }
  return null;
}

const between = (n: number, min: number, max: number): boolean => n >= min && n <= max;

const telegramError = (error_code: number, description: string, parameters?: Body) => ({
  ok: false,
  error_code,
  description,
  ...(parameters ? { parameters } : {}),
});

/** What a receiver does with `reveille-signature`: HMAC-SHA256 of `timestamp.body`, within five minutes. */
function checkSignature(
  secret: string,
  signature: string | null,
  timestamp: string | null,
  raw: Buffer,
): HookCall["signature"] {
  if (!signature || !timestamp) return "missing";
  if (!/^\d{1,12}$/.test(timestamp) || Math.abs(Date.now() / 1000 - Number(timestamp)) > 300) return "bad";
  const mac = createHmac("sha256", secret).update(`${timestamp}.`).update(raw).digest("hex");
  const expected = Buffer.from(`v1=${mac}`);
  const given = Buffer.from(signature);
  return given.length === expected.length && timingSafeEqual(given, expected) ? "ok" : "bad";
}

async function readBody(req: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of req) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

function json(res: ServerResponse, status: number, body: unknown, headers: Record<string, string> = {}): void {
  res.writeHead(status, { "content-type": "application/json; charset=utf-8", ...headers });
  res.end(JSON.stringify(body));
}

function html(res: ServerResponse): void {
  res.writeHead(200, { "content-type": "text/html" });
  res.end("<html><body>Sign in to continue</body></html>");
}

function redirect(res: ServerResponse): void {
  res.writeHead(302, { location: "/elsewhere" });
  res.end();
}

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
