import type { IncomingMessage, ServerResponse } from "node:http";
import type { Behaviour, Ledger, Platform, PostedMessage, SlackMessage, TelegramMessage } from "./platforms.types";
import { VaultApis } from "./platforms-vault";

/**
 * The rest of the platforms' APIs, as what gateways send needs it: Slack's methods besides messages, Telegram's files and chats,
 * Discord, WhatsApp Cloud, Twilio. Each keeps the platform's own limits and answers in its form (chat-platforms §1.4-§4).
 */

type Body = Record<string, unknown>;

export const FORM_ONLY = new Set(["conversations.info", "files.info", "files.getUploadURLExternal"]);
export const formOf = (raw: Buffer): Body => Object.fromEntries(new URLSearchParams(raw.toString("utf8")));

export interface Host {
  next(platform: Platform, method: string): Behaviour;
  ledger(): Ledger;
  serial(): number;
  secrets: { slack: string; telegram: string; discord: string; whatsapp: string; twilio: string };
  /** Base of the stand-in. */
  url(): string;
}

/** Reactions that Telegram's server takes; a few of its fixed set. */
const REACTIONS = new Set(["👍", "👎", "👀", "❤", "🔥", "🎉", "🤔"]);

interface Upload {
  name: string;
  length: number;
  bytes: Buffer | null;
}

export class MoreApis {
  readonly #uploads = new Map<string, Upload>();

  readonly #vault: VaultApis;

  constructor(readonly host: Host) {
    this.#vault = new VaultApis(host);
  }

  #act(platform: Platform, method: string, body: Body): void {
    this.host.ledger().acts.push({ platform, method, body });
  }

  #post(platform: Platform, chat: string, id: string, body: Body, file: PostedMessage["file"] = null): PostedMessage {
    const message: PostedMessage = { platform, chat, id, body, file, edits: [], deleted: false };
    this.host.ledger().posted.push(message);
    return message;
  }

  #found(platform: Platform, chat: string, id: string): PostedMessage | undefined {
    return this.host
      .ledger()
      .posted.find((m) => m.platform === platform && m.chat === chat && m.id === id && !m.deleted);
  }

  // Slack.

  slack(method: string, body: Body, messages: SlackMessage[]): Body | null {
    const no = (error: string): Body => ({ ok: false, error });
    const known = messages.find((m) => m.channel === body["channel"] && m.ts === (body["ts"] ?? body["timestamp"]));
    switch (method) {
      case "chat.delete":
        if (!known) return no("message_not_found");
        messages.splice(messages.indexOf(known), 1);
        break;
      case "assistant.threads.setStatus":
        if (typeof body["thread_ts"] !== "string" || typeof body["status"] !== "string") return no("invalid_arguments");
        break;
      case "reactions.add":
      case "reactions.remove": {
        if (!/^[a-z0-9_+'-]+(::skin-tone-[2-6])?$/.test(String(body["name"]))) return no("invalid_name");
        const now = this.#reactions(String(body["timestamp"]), String(body["name"]));
        if (method === "reactions.add" && now) return no("already_reacted");
        if (method === "reactions.remove" && !now) return no("no_reaction");
        break;
      }
      case "conversations.info": {
        const id = String(body["channel"]);
        if (!/^[CDG][A-Z0-9]+$/.test(id)) return no("channel_not_found");
        return {
          ok: true,
          channel: id.startsWith("D") ? { id, is_im: true, user: "U100" } : { id, name: `name-${id}` },
        };
      }
      case "files.getUploadURLExternal": {
        const file_id = `F${this.host.serial()}`;
        if (!body["filename"] || !(Number(body["length"]) > 0)) return no("invalid_arguments");
        this.#uploads.set(file_id, { name: String(body["filename"]), length: Number(body["length"]), bytes: null });
        return { ok: true, file_id, upload_url: `${this.host.url()}/slack/upload/${file_id}` };
      }
      case "files.completeUploadExternal": {
        const id = String((body["files"] as { id?: string }[] | undefined)?.[0]?.id);
        const upload = this.#uploads.get(id);
        if (!upload?.bytes) return no("file_not_found");
        const file = { name: upload.name, type: "", size: upload.bytes.length };
        this.#post(
          "slack",
          String(body["channel_id"]),
          `1800.${String(this.host.serial()).padStart(6, "0")}`,
          { ...body, file: id },
          file,
        );
        return { ok: true, files: [{ id, title: upload.name }] };
      }
      case "files.info": {
        const id = String(body["file"]);
        const shared = this.host.ledger().posted.find((m) => m.body["file"] === id);
        if (shared) return { ok: true, file: { id, shares: { private: { [shared.chat]: [{ ts: shared.id }] } } } };
        if (id !== "FCONNECT") return no("file_not_found");
        return { ok: true, file: { id, url_private_download: `${this.host.url()}/slack/files/connect.txt` } };
      }
      default:
        return null;
    }
    this.#act("slack", method, body);
    return { ok: true };
  }

  #reactions(ts: string, name: string): boolean {
    let on = false;
    for (const { method, body } of this.host.ledger().acts)
      if (body["timestamp"] === ts && body["name"] === name) on = method === "reactions.add";
    return on;
  }

  // Telegram.

  telegram(method: string, body: Body, messages: TelegramMessage[]): (Body & { ok: boolean }) | null {
    const no = (description: string, error_code = 400) => ({
      ok: false,
      error_code,
      description: `Bad Request: ${description}`,
    });
    const at = messages.findIndex((m) => m.chat_id === String(body["chat_id"]) && m.message_id === body["message_id"]);
    switch (method) {
      case "deleteMessage":
        if (at < 0) return no("message to delete not found");
        messages.splice(at, 1);
        break;
      case "sendChatAction":
        if (body["action"] !== "typing") return no("wrong parameter action in request");
        break;
      case "setMessageReaction":
        for (const r of body["reaction"] as { emoji: string }[])
          if (!REACTIONS.has(r.emoji)) return no("REACTION_INVALID");
        break;
      case "getChat":
        if (String(body["chat_id"]) === "404") return no("chat not found");
        return {
          ok: true,
          result: { id: Number(body["chat_id"]), type: "private", first_name: "Ana", last_name: "B" },
        };
      case "getFile":
        if (body["file_id"] === "too-big") return no("file is too big");
        return {
          ok: true,
          result: { file_id: body["file_id"], file_path: `documents/${String(body["file_id"])}.txt` },
        };
      default:
        return null;
    }
    this.#act("telegram", method, body);
    return { ok: true, result: true };
  }

  async telegramFile(method: string, raw: Buffer, type: string): Promise<Body & { ok: boolean }> {
    const { fields, file } = await multipart(raw, type);
    if (!/^send(Photo|Voice|Audio|Video|Document)$/.test(method) || !file)
      return { ok: false, error_code: 400, description: "Bad Request: there is no file in the request" };
    if (String(fields["caption"] ?? "").length > 1_024)
      return { ok: false, error_code: 400, description: "Bad Request: message caption is too long" };
    const id = 100 + this.host.serial();
    this.#post("telegram", String(fields["chat_id"]), String(id), { ...fields, method }, file);
    return { ok: true, result: { message_id: id } };
  }

  // Everything that is no method call of these two.

  async handle(req: IncomingMessage, res: ServerResponse, path: string, raw: Buffer): Promise<boolean> {
    const upload = /^\/slack\/upload\/(F\d+)$/.exec(path);
    if (upload) {
      const open = this.#uploads.get(upload[1]!);
      if (open) open.bytes = raw;
      send(res, open?.length === raw.length ? 200 : 400, {});
      return true;
    }
    const slackFile = /^\/slack\/files\/([\w.-]+)$/.exec(path);
    if (slackFile)
      return this.#download(res, req.headers.authorization === `Bearer ${this.host.secrets.slack}`, slackFile[1]!);
    const telegramFile = /^\/telegram\/file\/bot([^/]+)\/documents\/([\w.-]+)$/.exec(path);
    if (telegramFile)
      return this.#download(res, decodeURIComponent(telegramFile[1]!) === this.host.secrets.telegram, telegramFile[2]!);
    if (path.startsWith("/files/")) return this.#download(res, true, path.slice(7));
    if (/^\/(discord\/webhooks|slack\/hooks)\//.test(path)) return this.#vault.handle(req, res, path, raw);
    if (path.startsWith("/discord/")) return this.#discord(req, res, path.slice(8), raw);
    if (path.startsWith("/whatsapp/")) return this.#whatsapp(req, res, path.slice(9), raw);
    if (path.startsWith("/twilio/")) return this.#twilio(req, res, path, raw);
    return false;
  }

  /** `big-N.x` has N MiB; `missing.x` is none; anything else is its own name. Without the token a page to sign in. */
  #download(res: ServerResponse, allowed: boolean, name: string): boolean {
    if (!allowed || name.startsWith("signin")) {
      res.writeHead(200, { "content-type": "text/html" });
      res.end("<html>Sign in</html>");
    } else if (name.startsWith("missing")) send(res, 404, {});
    else {
      const big = /^big-(\d+)\./.exec(name);
      const bytes = big ? Buffer.alloc(Number(big[1]) * 1024 * 1024, 7) : Buffer.from(`content of ${name}`);
      const type = name.endsWith(".png") ? "image/png" : "text/plain";
      // Chunked: nobody says beforehand how long it is.
      res.writeHead(200, { "content-type": type });
      for (let at = 0; at < bytes.length; at += 1 << 20) res.write(bytes.subarray(at, at + (1 << 20)));
      res.end();
    }
    return true;
  }

  /** What a mode does before the work; null: go on. */
  async #mode(res: ServerResponse, b: Behaviour, limit: () => void): Promise<boolean> {
    if (b.delay) await new Promise((resolve) => setTimeout(resolve, b.delay));
    if (b.mode === "ratelimited") limit();
    else if (b.mode === "5xx") send(res, 502, {});
    else if (b.mode === "invalid_auth")
      send(res, 401, { message: "401: Unauthorized", code: 0, error: { code: 190, message: "token" } });
    else if (b.mode === "html") {
      res.writeHead(200, { "content-type": "text/html" });
      res.end("<html></html>");
    } else return b.mode === "hang";
    return true;
  }

  async #discord(req: IncomingMessage, res: ServerResponse, path: string, raw: Buffer): Promise<boolean> {
    const route = path.replace(/\d{2,}/g, ":id").replace(/reactions\/[^/]+/, "reactions/:emoji");
    const b = this.host.next("discord", `${req.method} ${route}`);
    const wait = b.retry_after ?? 0.2;
    const stop = await this.#mode(res, b, () =>
      send(
        res,
        429,
        { message: "You are being rate limited.", retry_after: wait, global: false },
        { "retry-after": "1" },
      ),
    );
    if (stop) return true;
    const no = (status: number, code: number, message: string): boolean => send(res, status, { code, message });
    if (req.headers.authorization !== `Bot ${this.host.secrets.discord}`) return no(401, 0, "401: Unauthorized");
    if (!/^DiscordBot \(\S+, \S+\)$/.test(req.headers["user-agent"] ?? ""))
      return no(403, 40333, "internal network error");
    if (b.mode === "ok_false") return no(403, 50001, b.error ?? "Missing Access");
    const type = req.headers["content-type"] ?? "";
    const parts = /^multipart/.test(type) ? await multipart(raw, type) : null;
    const text = parts ? String(parts.fields["payload_json"]) : raw.toString("utf8");
    const body = (text === "" ? {} : JSON.parse(text)) as Body;
    const [, channel = "", , id = ""] = /^\/channels\/(\d+)(\/messages(?:\/(\d+))?)?/.exec(path) ?? [];
    const answer = (status: number, value: Body): boolean => {
      if (b.mode === "apply_then_hang") return true;
      return send(res, b.mode === "apply_then_5xx" ? 502 : status, b.mode === "apply_then_5xx" ? {} : value);
    };
    if (req.method === "GET") {
      if (channel === "404") return no(404, 10003, "Unknown Channel");
      const thread = /^8\d+/.test(channel);
      return send(res, 200, {
        id: channel,
        type: thread ? 11 : 0,
        name: `name-${channel}`,
        ...(thread ? { parent_id: `7${channel.slice(1)}` } : {}),
      });
    }
    if (path.endsWith("/typing") || path.includes("/reactions/")) {
      this.#act("discord", `${req.method} ${decodeURIComponent(path)}`, body);
      return answer(204, {});
    }
    if (id === "") {
      const content = String(body["content"] ?? "");
      if ([...content].length > 2_000 || (content === "" && !parts?.file)) return no(400, 50035, "Invalid Form Body");
      if ((body["message_reference"] as Body | undefined)?.["message_id"] === "999")
        return no(400, 50035, "Invalid Form Body");
      if (String(body["nonce"] ?? "").length > 25 || !body["allowed_mentions"])
        return no(400, 50035, "Invalid Form Body");
      const twin = this.host.ledger().posted.find((m) => m.platform === "discord" && m.body["nonce"] === body["nonce"]);
      const made =
        body["enforce_nonce"] === true && twin
          ? twin
          : this.#post(
              "discord",
              channel,
              `9${String(this.host.serial()).padStart(17, "0")}`,
              body,
              parts?.file ?? null,
            );
      return answer(200, { id: made.id, channel_id: channel });
    }
    const known = this.#found("discord", channel, id);
    if (!known) return no(404, 10008, "Unknown Message");
    if (req.method === "DELETE") known.deleted = true;
    else known.edits.push(body);
    return answer(req.method === "DELETE" ? 204 : 200, { id });
  }

  async #whatsapp(req: IncomingMessage, res: ServerResponse, path: string, raw: Buffer): Promise<boolean> {
    const b = this.host.next("whatsapp", path.split("/").at(-1)!);
    if (await this.#mode(res, b, () => send(res, 400, { error: { code: 130429, message: "Rate limit hit" } })))
      return true;
    if (req.headers.authorization !== `Bearer ${this.host.secrets.whatsapp}`)
      return send(res, 401, { error: { code: 190, message: "Invalid OAuth access token" } });
    if (b.mode === "ok_false") return send(res, 400, { error: { code: 131047, message: "Re-engagement message" } });
    if (path.startsWith("/media-file/")) return this.#download(res, true, path.slice(12));
    if (path.endsWith("/media")) return send(res, 200, { id: `media-${this.host.serial()}` });
    if (req.method === "GET")
      return send(res, 200, { url: `${this.host.url()}/whatsapp/media-file/${path.slice(1)}.txt` });
    const body = JSON.parse(raw.toString("utf8")) as Body;
    const made = this.#post("whatsapp", String(body["to"]), `wamid.${this.host.serial()}`, body);
    return b.mode === "apply_then_hang"
      ? true
      : send(res, 200, { messaging_product: "whatsapp", messages: [{ id: made.id }] });
  }

  async #twilio(req: IncomingMessage, res: ServerResponse, path: string, raw: Buffer): Promise<boolean> {
    const b = this.host.next("sms", "Messages");
    if (
      await this.#mode(res, b, () =>
        send(res, 429, { code: 20429, message: "Too Many Requests" }, { "retry-after": "1" }),
      )
    )
      return true;
    if (req.headers.authorization !== `Basic ${Buffer.from(this.host.secrets.twilio).toString("base64")}`)
      return send(res, 401, { code: 20003, message: "Authenticate" });
    if (b.mode === "ok_false")
      return send(res, 400, { code: 21610, message: "Attempt to send to unsubscribed recipient" });
    if (!/\/Accounts\/AC\w+\/Messages\.json$/.test(path)) return send(res, 404, { code: 20404, message: "not found" });
    const body = formOf(raw);
    if (String(body["Body"]).length > 1_600) return send(res, 400, { code: 21617, message: "too long" });
    const made = this.#post("sms", String(body["To"]), `SM${this.host.serial()}`, body);
    return b.mode === "apply_then_hang" ? true : send(res, 201, { sid: made.id });
  }
}

async function multipart(raw: Buffer, type: string): Promise<{ fields: Body; file: PostedMessage["file"] }> {
  const form = await new Response(new Uint8Array(raw), { headers: { "content-type": type } }).formData();
  const fields: Body = {};
  let file: PostedMessage["file"] = null;
  for (const [name, value] of form.entries())
    if (typeof value === "string") fields[name] = value;
    else file = { name: value.name, type: value.type, size: value.size };
  return { fields, file };
}

function send(res: ServerResponse, status: number, body: Body, headers: Record<string, string> = {}): true {
  res.writeHead(status, { ...(status === 204 ? {} : { "content-type": "application/json" }), ...headers });
  res.end(status === 204 ? undefined : JSON.stringify(body));
  return true;
}
