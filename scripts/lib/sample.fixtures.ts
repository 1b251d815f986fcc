import { randomBytes, randomUUID } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { EXIT, Exit } from "./exit";
import { ROOT } from "./paths";

/** Sample webhooks: the fixtures of the tests, with ids and times of now, so that each is a new event. */

const FOLDER = join(ROOT, "test/support/fixtures");
export const PLATFORMS = ["slack", "discord", "telegram", "whatsapp", "sms"];

/** Short names of the usual ones. */
const ALIASES: Record<string, Record<string, string>> = {
  slack: { message: "im-text", command: "slash-dm", mention: "channel-mention" },
  discord: { message: "command-dm" },
  telegram: { message: "private-text" },
  whatsapp: { message: "text" },
  sms: { message: "text" },
};

type Json = Record<string, unknown>;

export interface Fixture {
  platform: string;
  name: string;
  what: string;
  tail: string;
  body?: Json;
  form?: Record<string, string>;
  payload?: Json;
  raw?: string;
  expect: {
    ignored?: string | null;
    events?: { own: boolean; event: { source: { user_id: string | null; scope_id?: string; is_bot: boolean } } }[];
  };
}

export const namesOf = (platform: string): string[] =>
  readdirSync(join(FOLDER, platform))
    .filter((f) => f.endsWith(".json"))
    .map((f) => f.slice(0, -5))
    .sort();

export function readFixture(platform: string, name: string): Fixture {
  const file = ALIASES[platform]?.[name] ?? name.replaceAll("_", "-");
  const path = join(FOLDER, platform, `${file}.json`);
  if (!/^[a-z0-9-]+$/.test(file) || !existsSync(path))
    throw new Exit(EXIT.usage, `There is no sample "${name}" of ${platform}.  List:  npm run send -- --list`);
  return { ...(JSON.parse(readFileSync(path, "utf8")) as Fixture), name: file };
}

/** Every platform's samples, one line each. */
export function listFixtures(): string[] {
  return PLATFORMS.flatMap((platform) => {
    const short = Object.entries(ALIASES[platform] ?? {}).map(([k, v]) => [v, k] as const);
    return namesOf(platform).map((name) => {
      const alias = short.find(([v]) => v === name)?.[1];
      const { what } = readFixture(platform, name);
      return `  ${platform.padEnd(9)} ${(alias ? `${name} (${alias})` : name).padEnd(28)} ${what}`;
    });
  });
}

const obj = (value: unknown): Json => (typeof value === "object" && value !== null ? (value as Json) : {});
const first = (value: unknown): Json => obj(Array.isArray(value) ? value[0] : undefined);

/** Sets what is there; a sample that lacks a field goes without it. */
function set(target: Json, values: Json): void {
  for (const [key, value] of Object.entries(values)) if (key in target) target[key] = value;
}

const digits = (n: number): string =>
  BigInt(`0x${randomBytes(8).toString("hex")}`)
    .toString()
    .padStart(20, "0")
    .slice(-n);

function slackFresh(f: Fixture, seconds: number, text: string | undefined): void {
  const body = f.body ?? f.payload ?? f.form ?? {};
  const ts = `${seconds}.${digits(6)}`;
  const event = obj(body["event"]);
  set(body, {
    event_id: `Ev0${digits(10)}`,
    event_time: seconds,
    trigger_id: `${digits(13)}.${digits(11)}.${randomBytes(8).toString("hex")}`,
  });
  set(event, { ts, event_ts: ts, client_msg_id: randomUUID() });
  set(first(body["actions"]), { action_ts: ts });
  if (typeof body["response_url"] === "string")
    body["response_url"] = body["response_url"].replace(/[^/]+$/, randomBytes(9).toString("hex"));
  if (text === undefined) return;
  if (f.form) f.form["text"] = text;
  else if ("text" in event) {
    event["text"] = text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
    delete event["blocks"];
  }
}

function telegramFresh(body: Json, seconds: number, text: string | undefined): void {
  set(body, { update_id: 800_000_000 + Number(digits(8)) });
  const message = obj(body["message"] ?? body["edited_message"]);
  set(message, { message_id: Number(digits(7)) + 1, date: seconds });
  set(obj(body["callback_query"]), { id: digits(18) });
  if (text === undefined) return;
  set(message, { text, caption: text });
  for (const key of ["entities", "caption_entities"]) delete message[key];
}

function discordFresh(body: Json, text: string | undefined): void {
  const epoch = 1_420_070_400_000n;
  const id = ((BigInt(Date.now()) - epoch) << 22n) | BigInt(Number(digits(6)));
  set(body, { id: String(id), token: `sample-${randomBytes(24).toString("hex")}` });
  if (text !== undefined) set(first(obj(body["data"])["options"]), { value: text });
}

function whatsappFresh(body: Json, seconds: number, text: string | undefined): void {
  const value = obj(first(first(body["entry"])["changes"])["value"]);
  for (const m of Array.isArray(value["messages"]) ? (value["messages"] as Json[]) : []) {
    set(m, { id: `wamid.${randomBytes(18).toString("base64url")}`, timestamp: String(seconds) });
    if (text !== undefined) set(obj(m["text"]), { body: text });
  }
}

/** Every id of the author as another person's. */
function renamed(value: unknown, from: string, to: string): unknown {
  if (typeof value === "string") return value === from ? to : value;
  if (typeof value === "number") return String(value) === from ? Number(to) : value;
  if (Array.isArray(value)) return value.map((v) => renamed(v, from, to));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, renamed(v, from, to)]));
}

export const authorOf = (f: Fixture): string | null => f.expect.events?.[0]?.event.source.user_id ?? null;

/** The bytes of a new event; `form` when they are one. */
export function freshBody(
  given: Fixture,
  options: { text?: string | undefined; user?: string | undefined },
): { body: string; form: URLSearchParams | null } {
  if (given.raw !== undefined) return { body: given.raw, form: null };
  const author = authorOf(given);
  const f = (
    options.user !== undefined && author !== null ? renamed(given, author, options.user) : structuredClone(given)
  ) as Fixture;
  const seconds = Math.floor(Date.now() / 1000);
  const { text } = options;
  if (f.platform === "slack") slackFresh(f, seconds, text);
  else if (f.platform === "telegram") telegramFresh(f.body ?? {}, seconds, text);
  else if (f.platform === "discord") discordFresh(f.body ?? {}, text);
  else if (f.platform === "whatsapp") whatsappFresh(f.body ?? {}, seconds, text);
  else {
    const sid = `SM${randomBytes(16).toString("hex")}`;
    set(f.form ?? {}, {
      MessageSid: sid,
      SmsMessageSid: sid,
      SmsSid: sid,
      ...(text === undefined ? {} : { Body: text }),
    });
  }
  const form = f.payload ? { payload: JSON.stringify(f.payload) } : f.form;
  if (!form) return { body: JSON.stringify(f.body ?? {}), form: null };
  const encoded = new URLSearchParams(form);
  return { body: encoded.toString(), form: encoded };
}
