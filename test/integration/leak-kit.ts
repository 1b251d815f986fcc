import { runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { inject } from "vitest";
import { chatSessionName, type Destination } from "../../src/gateway";
import { hmacSha256, toHex, utf8 } from "../../src/kernel/crypto";
import { STRIP_RULES } from "../../src/platform";
import discordVectors from "../conformance/vectors/discord.json";
import { objectOf, stub } from "./gateway-kit";
import { vars } from "./notify-kit";
import { interactionId } from "./vault-kit";

/** Canaries in payloads of platforms, calls signed as each platform does it, and a search of all that is stored or leaves. */

export interface Fixture {
  name: string;
  what: string;
  platform: string;
  tail: string;
  body?: unknown;
  raw?: string;
  form?: Record<string, string>;
  payload?: unknown;
  expect: {
    events: {
      event: { source: { user_id: string | null; scope_id?: string; chat_id: string } };
      passthrough: unknown;
    }[];
  };
}

const files = import.meta.glob<Omit<Fixture, "name">>("../support/fixtures/*/*.json", {
  eager: true,
  import: "default",
});
export const fixtures: Fixture[] = Object.entries(files).map(([path, f]) => ({
  ...f,
  name: `${f.platform}/${path.split("/").at(-1)}`,
}));

/** Every canary begins and ends with it: what is searched for is it, in every form. */
const MARK = "CnryQ7zLeak4";
let serial = 0;
const canary = (): string => `${MARK}${String(++serial).padStart(8, "0")}${MARK}`;
export const planted = (): number => serial;

/** The key of Discord's signed vectors. */
const KEY = discordVectors.keys[0]!;
export const EXTRA: Record<string, string> = {
  REVEILLE_DISCORD_PUBLIC_KEY: KEY.public_key_hex,
  REVEILLE_DISCORD_APPLICATION_ID: "1200000000000000001",
  REVEILLE_WHATSAPP_APP_SECRET: "leak-test-whatsapp-app-secret-01",
  REVEILLE_WHATSAPP_PHONE_ID: "106540352242922",
  REVEILLE_TWILIO_ACCOUNT_SID: "AC00000000000000000000000000000001",
  REVEILLE_TWILIO_FROM: "+15550001111",
  REVEILLE_TWILIO_WEBHOOK_URL: "http://reveille.test/webhooks/sms/app",
};

type Node = Record<string, unknown>;
/** Leaves that people, or agents, write. */
const FREE = new Set(["text", "content", "caption", "value", "body", "Body"]);

/** A credential in the form its key has. */
function secretFor(key: string): string {
  if (key === "response_url") return `https://hooks.slack.com/commands/T0LEAK/echo/${canary()}`;
  if (key === "permalink_public") return `https://slack-files.com/T0LEAK-F0LEAK-${canary()}`;
  if (key === "invite_link") return `https://t.me/+${canary()}`;
  return canary();
}

/** What no key tells of: texts that look like credentials. */
const shaped = (platform: string): string[] =>
  platform === "slack"
    ? [`https://hooks.slack.com/services/T0LEAK/B0LEAK/${canary()}`, `xoxb-${canary()}`]
    : platform === "telegram"
      ? [`https://api.telegram.org/file/bot70000019:${canary()}/a.txt`, `70000018:${canary()}`]
      : platform === "discord"
        ? [`https://discord.com/api/webhooks/123456789012345678/${canary()}`]
        : [];

/** The payload with a canary at every secret key, and copies of each, in three writings, in every free text. */
export function plant<T>(value: T, platform: string): T {
  const keys = STRIP_RULES.filter((r) => r.platform === platform).flatMap((r) => r.keys ?? []);
  const root = structuredClone(value) as Node;
  const secrets: string[] = [];
  const take = (key: string): string => {
    const secret = secretFor(key);
    secrets.push(secret);
    return secret;
  };
  const replace = (node: unknown): void => {
    if (!node || typeof node !== "object") return;
    for (const [key, inner] of Object.entries(node as Node))
      if (keys.includes(key) && typeof inner === "string") (node as Node)[key] = take(key);
      else replace(inner);
  };
  replace(root);
  // An interaction's age is in its id: it is of now.
  if (platform === "discord" && typeof root["id"] === "string") root["id"] = interactionId();
  for (const key of keys) root[key] ??= take(key);
  const copies = [
    ...secrets.flatMap((s) => [s, btoa(s), btoa(`x${s}`), encodeURIComponent(s)]),
    ...shaped(platform),
    String(vars()["WATCH_CANARY"]),
  ].join(" ");
  const write = (node: unknown): void => {
    if (!node || typeof node !== "object") return;
    for (const [key, inner] of Object.entries(node as Node))
      if (FREE.has(key) && typeof inner === "string" && !inner.startsWith("hp1:"))
        (node as Node)[key] = `${inner} ${copies}`;
      else write(inner);
  };
  write(root);
  return root as T;
}

/** A body that is given as text: null when it is no JSON on purpose. */
function readable(raw: string | undefined): unknown {
  try {
    return JSON.parse(raw ?? "");
  } catch {
    return null;
  }
}

/** Twilio signs the URL with the fields behind it, in their order by name. */
async function twilio(url: string, text: string): Promise<string> {
  const fields = [...new URLSearchParams(text)].sort(([a], [b]) => (a < b ? -1 : 1));
  const signed = utf8(url + fields.map(([k, v]) => k + v).join("")) as Uint8Array<ArrayBuffer>;
  const secret = utf8(String(vars()["REVEILLE_TWILIO_AUTH_TOKEN"])) as Uint8Array<ArrayBuffer>;
  const key = await crypto.subtle.importKey("raw", secret, { name: "HMAC", hash: "SHA-1" }, false, ["sign"]);
  return btoa(String.fromCharCode(...new Uint8Array(await crypto.subtle.sign("HMAC", key, signed))));
}

/** Files are where the stand-in has them: nothing of a test is fetched from the world. */
const nearby = (text: string): string =>
  text
    .replace(/https:\/\/files\.slack\.com\/[^"\s]*/g, `${inject("platformsUrl")}/slack/files/a.txt`)
    .replace(/https:\/\/cdn\.discordapp\.com\/[^"\s]*/g, `${inject("platformsUrl")}/files/a.png`);

/** The call with its canaries, signed. Null: its body is no JSON that could be planted. */
export async function callOf(f: Fixture): Promise<Request | null> {
  const url = `http://reveille.test/webhooks/${f.platform}/app${f.tail && `/${f.tail}`}`;
  const form = f.form ?? null;
  const whole = f.body ?? readable(f.raw);
  if (!form && !f.payload && !whole) return null;
  const json = (value: unknown): string => nearby(JSON.stringify(plant(value, f.platform)));
  const text = form
    ? new URLSearchParams(plant(form, f.platform)).toString()
    : f.payload
      ? new URLSearchParams({ payload: json(f.payload) }).toString()
      : json(whole);
  const body = utf8(text) as Uint8Array<ArrayBuffer>;
  const s = String(Math.floor(Date.now() / 1000));
  const signed = new Uint8Array([...utf8(f.platform === "slack" ? `v0:${s}:` : s), ...body]);
  const headers: Record<string, string> = {
    "content-type": form || f.payload ? "application/x-www-form-urlencoded" : "application/json",
  };
  if (f.platform === "slack") {
    headers["x-slack-request-timestamp"] = s;
    headers["x-slack-signature"] =
      `v0=${toHex(await hmacSha256(String(vars()["REVEILLE_SLACK_SIGNING_SECRET"]), signed))}`;
  } else if (f.platform === "telegram")
    headers["x-telegram-bot-api-secret-token"] = String(vars()["REVEILLE_TELEGRAM_SECRET_TOKEN"]);
  else if (f.platform === "discord") {
    headers["x-signature-timestamp"] = s;
    headers["x-signature-ed25519"] = toHex(await crypto.subtle.sign("Ed25519", await discordKey(), signed));
  } else if (f.platform === "whatsapp")
    headers["x-hub-signature-256"] = `sha256=${toHex(await hmacSha256(EXTRA["REVEILLE_WHATSAPP_APP_SECRET"]!, body))}`;
  else headers["x-twilio-signature"] = await twilio(url, text);
  return new Request(url, { method: "POST", headers, body });
}

function discordKey(): Promise<CryptoKey> {
  const b64 = (hex: string): string =>
    btoa(String.fromCharCode(...(hex.match(/../g) ?? []).map((h) => Number.parseInt(h, 16))))
      .replaceAll("+", "-")
      .replaceAll("/", "_")
      .replaceAll("=", "");
  const jwk = { kty: "OKP", crv: "Ed25519", d: b64(KEY.seed_hex), x: b64(KEY.public_key_hex) };
  return crypto.subtle.importKey("jwk", jwk, { name: "Ed25519" }, false, ["sign"]);
}

/** Every way a text may be written inside a longer one. */
export function forms(secret: string): string[] {
  const bytes = [...utf8(secret)];
  const b64 = (b: number[]): string => btoa(String.fromCharCode(...b)).replaceAll("=", "");
  // The characters of a base64 text that depend on the secret alone, at each of the three alignments.
  const aligned = [0, 1, 2].map((lead) =>
    b64([...Array<number>(lead).fill(0), ...bytes]).slice(
      Math.ceil((lead * 8) / 6),
      Math.floor(((lead + bytes.length) * 8) / 6),
    ),
  );
  const hex = bytes.map((b) => b.toString(16).padStart(2, "0")).join("");
  const json = JSON.stringify(secret).slice(1, -1);
  return [
    ...new Set([
      secret,
      json,
      JSON.stringify(json).slice(1, -1),
      encodeURIComponent(secret),
      encodeURIComponent(encodeURIComponent(secret)),
      hex,
      hex.toUpperCase(),
      bytes.map((b) => `%${b.toString(16).padStart(2, "0")}`).join(""),
      bytes.map((b) => `\\u${b.toString(16).padStart(4, "0")}`).join(""),
      ...aligned,
      ...aligned.map((a) => a.replaceAll("+", "-").replaceAll("/", "_")),
    ]),
  ];
}
const NEEDLES = [...forms(MARK), ...forms(String(vars()["WATCH_CANARY"]))];

/** What was compressed, opened: gzip, as bytes or as base64 inside a text. */
async function inflated(text: string): Promise<string> {
  const out: string[] = [];
  for (const [run] of text.matchAll(/H4sI[A-Za-z0-9+/_-]{20,}={0,2}/g)) {
    try {
      const bytes = Uint8Array.from(atob(run.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
      const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
      out.push(await new Response(stream).text());
    } catch {
      // Looked like it, and was none.
    }
  }
  return out.join("\n");
}

/** Where a canary is seen, with what stands before it; at most ten. */
export async function search(places: Record<string, string>): Promise<{ found: string[]; bytes: number }> {
  const found: string[] = [];
  let bytes = 0;
  for (const [place, raw] of Object.entries(places)) {
    const text = raw + (await inflated(raw));
    bytes += text.length;
    for (const needle of NEEDLES) {
      const at = text.indexOf(needle);
      if (at >= 0) found.push(`${place}: …${text.slice(Math.max(0, at - 60), at + needle.length)}`);
    }
  }
  return { found: found.slice(0, 10), bytes };
}

/** Rows as stored, and with one JSON layer taken off, so that an escaped copy can't hide; bytes as base64. */
const dumped = (rows: Record<string, unknown>[]): string =>
  rows
    .flatMap((row) =>
      Object.values(row).map((v) => {
        if (v instanceof ArrayBuffer || ArrayBuffer.isView(v)) {
          const bytes =
            v instanceof ArrayBuffer ? new Uint8Array(v) : new Uint8Array(v.buffer, v.byteOffset, v.byteLength);
          let text = "";
          for (const b of bytes) text += String.fromCharCode(b);
          return `${text} ${btoa(text)}`;
        }
        return String(v);
      }),
    )
    .join("\n");

const TABLES =
  "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%' AND name NOT LIKE '\\_cf%' ESCAPE '\\'";

export async function database(): Promise<string> {
  const { results } = await env.DB.prepare(TABLES).all<{ name: string }>();
  const out: string[] = [];
  for (const { name } of results) out.push(dumped((await env.DB.prepare(`SELECT * FROM "${name}"`).all()).results));
  return out.join("\n");
}

const everything = (state: DurableObjectState): string => {
  const { sql, kv } = state.storage;
  const tables = sql.exec<{ name: string }>(TABLES).toArray();
  const rows = tables.map(({ name }) => dumped(sql.exec(`SELECT * FROM "${name}"`).toArray()));
  return [...rows, ...[...kv.list()].map((entry) => JSON.stringify(entry))].join("\n");
};

/** Rows of an instance's Gateway object and of the vaults of its chats. */
export async function objects(to: Destination): Promise<Record<string, string>> {
  const out: Record<string, string> = {
    "gateway object": await runInDurableObject(objectOf(to), (_o, state) => everything(state)),
  };
  const namespace = env.SESSION as unknown as DurableObjectNamespace;
  for (const { platform, chat } of await stub(to).vaulted()) {
    const name = chatSessionName(to, platform as "slack", chat);
    out[`vault ${platform} ${chat}`] = await runInDurableObject(
      namespace.get(namespace.idFromName(name)),
      (_o, state) => everything(state),
    );
  }
  return out;
}
