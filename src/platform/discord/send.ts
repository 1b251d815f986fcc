import { appVar } from "../../kernel/config";
import { guardedFetch } from "../../kernel/net-guard";
import type { SendDeps } from "../call";
import {
  done,
  type Fetched,
  failure,
  inTurn,
  type OutFile,
  type PromptOption,
  type Sender,
  type Sent,
  text,
  type Where,
} from "../sender";
import { MAX_PARTS, splitMarkdown } from "../split";
import type { MediaRef, OpResult } from "../types";
import { discordCall } from "./api";

/** Discord counts characters; UTF-16 units are never fewer. */
const LIMIT = 2_000;
/** Where a text is cut: some room, as counts differ. */
const CUT = 1_900;
const WAIT_MS = 20_000;

type Body = Record<string, unknown>;

const ID = /^\d{1,20}$/;

/** A thread is a channel of its own. */
export const discordChannel = (to: Where): string => {
  const thread = text(to.metadata["thread_id"]) ?? to.thread_id;
  return thread !== null && ID.test(thread) ? thread : to.chat_id;
};

/** Discord shows Markdown itself; what it can't show is left as it is. */
const partsOf = (content: string): string[] =>
  content.trim().length <= LIMIT ? [content.trim()].filter((t) => t !== "") : splitMarkdown(content, CUT);

const reference = (to: Where): Body =>
  to.reply_to !== null && ID.test(to.reply_to)
    ? { message_reference: { message_id: to.reply_to, fail_if_not_exists: false } }
    : {};

/** Nobody is called by what an agent writes. */
const QUIET = { allowed_mentions: { parse: [] } };

const newNonce = (): string => crypto.randomUUID().replaceAll("-", "").slice(0, 24);

async function post(d: SendDeps, to: Where, body: Body, file: OutFile | null = null): Promise<Sent> {
  const channel = discordChannel(to);
  const nonce = newNonce();
  const attempt = (fields: Body) => {
    const payload = { ...fields, ...QUIET, nonce, enforce_nonce: true };
    let form: FormData | null = null;
    if (file) {
      form = new FormData();
      form.set("payload_json", JSON.stringify({ ...payload, attachments: [{ id: 0, filename: file.filename }] }));
      form.set("files[0]", new File([file.bytes], file.filename, { type: file.mime }));
    }
    const path = `/channels/${encodeURIComponent(channel)}/messages`;
    return discordCall(d, { method: "POST", path, bucket: `messages:${channel}`, body: form ?? payload });
  };
  let result = await attempt(body);
  // What it replies to is no message of this channel (an interaction has an id, too): the words matter more.
  if ("fail" in result && body["message_reference"] && result.fail.error_code === "50035" && !result.fail.ambiguous) {
    const { message_reference, ...rest } = body;
    result = await attempt(rest);
  }
  if ("fail" in result) return result.fail;
  const id = text(result.ok["id"]);
  return done(id === null ? [] : [id], {
    nonce,
    chat_id: channel,
    ...(channel === to.chat_id ? {} : { thread_id: channel }),
  });
}

const empty = (): Sent => failure("nothing to send: the content is empty", "no_text");
const tooMany = (n: number): Sent => failure(`too long: it would be ${n} messages`, "msg_too_long");

const flags = (to: Where): Body => (to.metadata["unfurl_links"] === false ? { flags: 4 } : {});

async function send(d: SendDeps, to: Where, content: string): Promise<Sent> {
  const parts = partsOf(content);
  if (parts.length === 0) return empty();
  if (parts.length > MAX_PARTS) return tooMany(parts.length);
  return inTurn(parts, (part, n) => post(d, to, { content: part, ...flags(to), ...(n === 0 ? reference(to) : {}) }));
}

const messagePath = (channel: string, id: string): string =>
  `/channels/${encodeURIComponent(channel)}/messages/${encodeURIComponent(id)}`;

async function edit(d: SendDeps, to: Where, ids: string[], content: string): Promise<Sent> {
  const parts = partsOf(content);
  if (parts.length === 0) return empty();
  if (parts.length > MAX_PARTS) return tooMany(parts.length);
  const channel = discordChannel(to);
  const bucket = `edit:${channel}`;
  const changed = await inTurn(parts.slice(0, ids.length), async (part, n) => {
    // Buttons of a prompt go with its question.
    const body = { content: part, components: [], ...QUIET };
    const result = await discordCall(d, { method: "PATCH", path: messagePath(channel, ids[n]!), bucket, body });
    return "fail" in result ? result.fail : done([ids[n]!]);
  });
  if (!changed.success) return changed;
  for (const id of ids.slice(parts.length))
    await discordCall(d, { method: "DELETE", path: messagePath(channel, id), bucket: `delete:${channel}` });
  return inTurn(parts.slice(ids.length), (part) => post(d, to, { content: part }), changed.ids ?? []);
}

async function typing(d: SendDeps, to: Where, content: string | undefined): Promise<OpResult> {
  // There is nothing to clear: the sign goes with the next message.
  if (content === "") return { success: true };
  const channel = discordChannel(to);
  const path = `/channels/${encodeURIComponent(channel)}/typing`;
  const result = await discordCall(d, { method: "POST", path, bucket: `typing:${channel}` });
  return "fail" in result ? result.fail : { success: true };
}

async function react(d: SendDeps, to: Where, id: string, emoji: string, remove: boolean): Promise<OpResult> {
  const channel = discordChannel(to);
  const custom = /^<a?:(\w{1,32}):(\d{1,20})>$/.exec(emoji.trim());
  const name = encodeURIComponent(custom ? `${custom[1]}:${custom[2]}` : emoji.trim());
  const path = `${messagePath(channel, id)}/reactions/${name}/@me`;
  const result = await discordCall(d, { method: remove ? "DELETE" : "PUT", path, bucket: `reactions:${channel}` });
  return "fail" in result ? result.fail : { success: true };
}

const STYLE: Record<PromptOption["style"], number> = { primary: 1, secondary: 2, success: 3, danger: 4 };

async function prompt(d: SendDeps, to: Where, content: string, options: PromptOption[]): Promise<Sent> {
  const parts = partsOf(content);
  if (parts.length === 0) return empty();
  if (parts.length > MAX_PARTS || options.length > 25) return tooMany(parts.length);
  const buttons = options.map((o) => ({
    type: 2,
    style: STYLE[o.style],
    label: o.label.slice(0, 80),
    custom_id: o.token,
  }));
  const components = Array.from({ length: Math.ceil(buttons.length / 5) }, (_, i) => ({
    type: 1,
    components: buttons.slice(i * 5, i * 5 + 5),
  }));
  const last = parts.length - 1;
  const sent = await inTurn(parts, (part, n) =>
    post(d, to, { content: part, ...(n === 0 ? reference(to) : {}), ...(n === last ? { components } : {}) }),
  );
  // The buttons are on the last.
  const id = sent.ids?.at(-1);
  return sent.success && id !== undefined ? { ...sent, message_id: id } : sent;
}

const channelOf = (d: SendDeps, id: string) =>
  discordCall(d, { method: "GET", path: `/channels/${encodeURIComponent(id)}`, bucket: `channel:${id}` });

async function info(d: SendDeps, chatId: string): Promise<OpResult> {
  const result = await channelOf(d, chatId);
  if ("fail" in result) return result.fail;
  const kind = Number(result.ok["type"]);
  const people = Array.isArray(result.ok["recipients"]) ? (result.ok["recipients"] as Body[]) : [];
  const type = kind === 1 ? "dm" : kind >= 10 && kind <= 12 ? "thread" : "group";
  return {
    success: true,
    chat_info: { name: text(result.ok["name"]) ?? text(people[0]?.["username"]) ?? chatId, type },
  };
}

async function parentOf(d: SendDeps, threadId: string): Promise<string | null> {
  const result = await channelOf(d, threadId);
  const kind = "ok" in result ? Number(result.ok["type"]) : 0;
  return "ok" in result && kind >= 10 && kind <= 12 ? text(result.ok["parent_id"]) : null;
}

async function media(d: SendDeps, to: Where, file: OutFile, caption: string): Promise<Sent> {
  const parts = partsOf(caption);
  if (parts.length > MAX_PARTS) return tooMany(parts.length);
  const first = await post(d, to, { ...(parts[0] ? { content: parts[0] } : {}), ...reference(to) }, file);
  if (!first.success)
    return first.error_code === "40005"
      ? { ...first, error: `discord: the file is too large (${file.bytes.length} bytes)` }
      : first;
  return inTurn(parts.slice(1), (part) => post(d, to, { content: part }), first.ids ?? []);
}

const CDN = /^(cdn\.discordapp\.com|media\.discordapp\.net|cdn\.discord\.com)$/;

/** An attachment: a signed public link, fetched without any credential. */
async function file(d: SendDeps, ref: MediaRef): Promise<Fetched> {
  if (!URL.canParse(ref.ref)) return { why: "its link can't be read" };
  const url = new URL(ref.ref);
  const known =
    CDN.test(url.hostname) || url.origin === new URL(appVar(d.runtime.vars, "REVEILLE_DISCORD_API_URL", d.app)).origin;
  if (!known) return { why: "it is not stored at Discord" };
  try {
    const init = { signal: AbortSignal.timeout(WAIT_MS) };
    const { response } = await guardedFetch(url, init, d.runtime.config.allowPrivate);
    if (response.ok) return { response };
    await response.body?.cancel();
    return { why: `HTTP ${response.status}` };
  } catch {
    return { why: "no answer from Discord" };
  }
}

/** What a gateway sends to Discord with the bot token (chat-platforms §2.4). */
export const discordSender: Sender = {
  name: "discord",
  limit: LIMIT,
  unset: (vars, app) => (appVar(vars, "REVEILLE_DISCORD_BOT_TOKEN", app) ? null : "REVEILLE_DISCORD_BOT_TOKEN"),
  send,
  edit,
  typing,
  react,
  prompt,
  info,
  media,
  parentOf,
  file,
};
