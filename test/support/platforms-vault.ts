import type { IncomingMessage, ServerResponse } from "node:http";
import type { Host } from "./platforms-egress";

/**
 * What answers to a credential in the path alone: Slack's `response_url` (five uses) and Discord's interaction webhooks
 * (chat-platforms §1.3, §2.3). Words in the credential choose how it goes: `used`, `expired`, `elsewhere`, `echo`, `later`.
 */

type Body = Record<string, unknown>;

const json = (res: ServerResponse, status: number, value: unknown): true => {
  res.writeHead(status, { "content-type": "application/json" });
  res.end(JSON.stringify(value));
  return true;
};
const words = (res: ServerResponse, status: number, text: string): true => {
  res.writeHead(status, { "content-type": "text/plain" });
  res.end(text);
  return true;
};

/** Tells the calls of two credentials apart without keeping either. */
const lastFour = (credential: string): string => credential.slice(-4);

export class VaultApis {
  readonly #calls = new Map<string, number>();
  /** Deferred replies that were ended, by token: the message's id. */
  readonly #originals = new Map<string, string>();

  constructor(readonly host: Host) {}

  handle(req: IncomingMessage, res: ServerResponse, path: string, raw: Buffer): true {
    if (req.headers.authorization) return json(res, 401, { code: 0, message: "401: Unauthorized" });
    const discord = /^\/discord\/webhooks\/(\d+)\/([^/]+)(?:\/messages\/(@original|\d+))?$/.exec(path);
    return discord
      ? this.#discord(req, res, decodeURIComponent(discord[2]!), discord[3] ?? null, raw)
      : this.#slack(req, res, path.slice("/slack/hooks".length), raw);
  }

  #count(credential: string): number {
    const n = (this.#calls.get(credential) ?? 0) + 1;
    this.#calls.set(credential, n);
    return n;
  }

  #act(platform: "slack" | "discord", method: string, body: Body): void {
    this.host.ledger().acts.push({ platform, method, body });
  }

  #slack(req: IncomingMessage, res: ServerResponse, credential: string, raw: Buffer): true {
    const b = this.host.next("slack", "response_url");
    if (b.mode === "ratelimited") {
      res.setHeader("retry-after", "3600");
      return words(res, 429, "rate_limited");
    }
    if (!/^application\/json/.test(req.headers["content-type"] ?? "")) return words(res, 400, "invalid_payload");
    if (credential.includes("elsewhere")) {
      res.writeHead(302, { location: `${this.host.url()}/hook` });
      res.end();
      return true;
    }
    if (credential.includes("expired")) return words(res, 404, "expired_url");
    if (credential.includes("echo")) return json(res, 400, { ok: false, error: `no such hook: ${credential}` });
    if (credential.includes("used") || this.#count(credential) > 5) return words(res, 404, "used_url");
    this.#act("slack", `response_url …${lastFour(credential)}`, JSON.parse(raw.toString("utf8")) as Body);
    if (b.mode === "apply_then_5xx") return words(res, 502, "");
    if (b.mode === "apply_then_hang") return true;
    return words(res, 200, "ok");
  }

  #discord(req: IncomingMessage, res: ServerResponse, token: string, message: string | null, raw: Buffer): true {
    const route = `${req.method} webhook${message === null ? "" : `/${message === "@original" ? message : ":id"}`}`;
    const b = this.host.next("discord", route);
    const no = (status: number, code: number, text: string): true => json(res, status, { code, message: text });
    if (b.mode === "ratelimited") return json(res, 429, { message: "limited", retry_after: b.retry_after ?? 3600 });
    if (!/^DiscordBot \(\S+, \S+\)$/.test(req.headers["user-agent"] ?? ""))
      return no(403, 40333, "internal network error");
    if (token.includes("expired")) return no(404, 10015, "Unknown Webhook");
    if (token.includes("echo")) return no(400, 50035, `Invalid Webhook ${token}`);
    if (token.includes("later") && this.#count(token) < 3) return no(404, 10015, "Unknown Webhook");
    const body = (raw.length > 0 ? JSON.parse(raw.toString("utf8")) : {}) as Body;
    if (req.method !== "DELETE" && String(body["content"] ?? "").length === 0)
      return no(400, 50035, "Invalid Form Body");
    if (String(body["content"] ?? "").length > 2_000) return no(400, 50035, "Invalid Form Body");
    this.#act("discord", `${route} …${lastFour(token)}`, body);
    const made = (): string => `9${String(this.host.serial()).padStart(17, "0")}`;
    if (message === "@original") {
      if (req.method === "DELETE") {
        res.writeHead(204);
        res.end();
        return true;
      }
      const id = this.#originals.get(token) ?? made();
      this.#originals.set(token, id);
      return json(res, 200, { id, channel_id: "880000000000000001" });
    }
    return json(res, 200, { id: message ?? made(), channel_id: "880000000000000001" });
  }
}
