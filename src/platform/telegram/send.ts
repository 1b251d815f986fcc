import { appVar } from "../../kernel/config";
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
import { MAX_PARTS } from "../split";
import type { MediaRef, OpResult } from "../types";
import { fileUrl, telegramCall } from "./api";
import { type Entity, toTelegram } from "./entities";
import { telegramReaction } from "./reactions";

const LIMIT = 4_096;
const CAPTION = 1_024;
const WAIT_MS = 20_000;

type Body = Record<string, unknown>;
type Part = { text: string; entities: Entity[] };

/** The General topic is every message without a topic: naming it is an error. */
function place(to: Where): Body {
  const thread = text(to.metadata["thread_id"]) ?? to.thread_id;
  return {
    chat_id: to.chat_id,
    ...(thread !== null && /^\d{1,10}$/.test(thread) && thread !== "1" ? { message_thread_id: Number(thread) } : {}),
  };
}

const reply = (to: Where): Body =>
  to.reply_to !== null && /^\d{1,10}$/.test(to.reply_to)
    ? { reply_parameters: { message_id: Number(to.reply_to), allow_sending_without_reply: true } }
    : {};

const preview = (to: Where): Body =>
  to.metadata["unfurl_links"] === false ? { link_preview_options: { is_disabled: true } } : {};

/**
 * Calls, and once more where Telegram says what to leave out: entities it can't parse, a topic that is gone, a chat that has a new id
 * (chat-platforms §3.4). Each refusal is certain, so no message is sent twice.
 */
async function lenient(
  d: SendDeps,
  method: string,
  body: Body,
  repeatable: boolean,
): Promise<{ ok: Body; chat_id: string } | { fail: OpResult }> {
  let now = body;
  for (let left = 3; ; left--) {
    const chat_id = String(now["chat_id"]);
    const result = await telegramCall(d, method, now, chat_id, repeatable);
    if ("ok" in result) return { ok: result.ok, chat_id };
    const { error = "", error_code = "", ambiguous } = result.fail;
    if (left === 0 || ambiguous) return result;
    const { entities, caption_entities, message_thread_id, ...rest } = now;
    if (/can't parse entities|entit(y|ies).*invalid|ENTITY_/i.test(error) && (entities || caption_entities))
      now = { ...rest, ...(message_thread_id === undefined ? {} : { message_thread_id }) };
    else if (/message thread not found|TOPIC_(CLOSED|DELETED)/i.test(error) && message_thread_id !== undefined)
      now = { ...rest, ...(entities ? { entities } : {}) };
    else if (error_code.startsWith("migrated:")) now = { ...now, chat_id: error_code.slice(9) };
    else return result;
  }
}

async function post(d: SendDeps, body: Body): Promise<Sent> {
  const result = await lenient(d, "sendMessage", body, false);
  if ("fail" in result) return result.fail;
  const id = (result.ok["result"] as Body | undefined)?.["message_id"];
  return done(typeof id === "number" ? [String(id)] : [], { chat_id: result.chat_id });
}

const bodyOf = (part: Part): Body => ({
  text: part.text,
  ...(part.entities.length ? { entities: part.entities } : {}),
});
const empty = (): Sent => failure("nothing to send: the content is empty", "no_text");
const tooMany = (n: number): Sent => failure(`too long: it would be ${n} messages`, "msg_too_long");

async function send(d: SendDeps, to: Where, content: string): Promise<Sent> {
  const parts = toTelegram(content, LIMIT);
  if (parts.length === 0) return empty();
  if (parts.length > MAX_PARTS) return tooMany(parts.length);
  return inTurn(parts, (part, n) =>
    post(d, { ...place(to), ...bodyOf(part), ...preview(to), ...(n === 0 ? reply(to) : {}) }),
  );
}

const notModified = (result: OpResult): boolean => /message is not modified/i.test(result.error ?? "");

async function update(d: SendDeps, to: Where, id: string, part: Part): Promise<Sent> {
  const body = { chat_id: to.chat_id, message_id: Number(id), ...bodyOf(part), ...preview(to) };
  const result = await lenient(d, "editMessageText", body, true);
  if ("ok" in result || notModified(result.fail)) return done([id]);
  // A picture's words are its caption.
  if (!/no text in the message to edit/i.test(result.fail.error ?? "") || part.text.length > CAPTION)
    return result.fail;
  const { text: caption, entities: caption_entities } = part;
  const again = await lenient(
    d,
    "editMessageCaption",
    { chat_id: to.chat_id, message_id: Number(id), caption, caption_entities },
    true,
  );
  return "ok" in again || notModified(again.fail) ? done([id]) : again.fail;
}

async function edit(d: SendDeps, to: Where, ids: string[], content: string): Promise<Sent> {
  const parts = toTelegram(content, LIMIT);
  if (parts.length === 0) return empty();
  if (parts.length > MAX_PARTS) return tooMany(parts.length);
  const changed = await inTurn(parts.slice(0, ids.length), (part, n) => update(d, to, ids[n]!, part));
  if (!changed.success) return changed;
  for (const id of ids.slice(parts.length))
    await telegramCall(d, "deleteMessage", { chat_id: to.chat_id, message_id: Number(id) }, to.chat_id, true);
  return inTurn(parts.slice(ids.length), (part) => post(d, { ...place(to), ...bodyOf(part) }), changed.ids ?? []);
}

async function typing(d: SendDeps, to: Where, content: string | undefined): Promise<OpResult> {
  // There is nothing to clear: the sign goes by itself within 5 s.
  if (content === "") return { success: true };
  const result = await lenient(d, "sendChatAction", { ...place(to), action: "typing" }, true);
  return "ok" in result ? { success: true } : result.fail;
}

async function react(d: SendDeps, to: Where, id: string, emoji: string, remove: boolean): Promise<OpResult> {
  const glyph = remove ? null : telegramReaction(emoji);
  if (!remove && glyph === null) return failure(`telegram: no reaction ${emoji} exists`, "reaction_invalid");
  const reaction = glyph === null ? [] : [{ type: "emoji", emoji: glyph }];
  const body = { chat_id: to.chat_id, message_id: Number(id), reaction };
  const result = await telegramCall(d, "setMessageReaction", body, to.chat_id, true);
  return "ok" in result || notModified(result.fail) ? { success: true } : result.fail;
}

async function prompt(d: SendDeps, to: Where, content: string, options: PromptOption[]): Promise<Sent> {
  const parts = toTelegram(content, LIMIT);
  if (parts.length === 0) return empty();
  if (parts.length > MAX_PARTS) return tooMany(parts.length);
  const inline_keyboard = options.map((o) => [{ text: o.label, callback_data: o.token }]);
  const last = parts.length - 1;
  const sent = await inTurn(parts, (part, n) =>
    post(d, {
      ...place(to),
      ...bodyOf(part),
      ...(n === 0 ? reply(to) : {}),
      ...(n === last ? { reply_markup: { inline_keyboard } } : {}),
    }),
  );
  // The buttons are on the last.
  const id = sent.ids?.at(-1);
  return sent.success && id !== undefined ? { ...sent, message_id: id } : sent;
}

async function info(d: SendDeps, chatId: string): Promise<OpResult> {
  const result = await telegramCall(d, "getChat", { chat_id: chatId }, chatId, true);
  if ("fail" in result) return result.fail;
  const chat = (result.ok["result"] ?? {}) as Body;
  const person = [text(chat["first_name"]), text(chat["last_name"])].filter((x) => x !== null).join(" ");
  const kind = String(chat["type"]);
  const type =
    kind === "private" ? "dm" : kind === "channel" ? "channel" : chat["is_forum"] === true ? "forum" : "group";
  return {
    success: true,
    chat_info: { name: text(chat["title"]) ?? (person || (text(chat["username"]) ?? chatId)), type },
  };
}

const METHOD: Record<OutFile["kind"], [method: string, field: string]> = {
  image: ["sendPhoto", "photo"],
  voice: ["sendVoice", "voice"],
  audio: ["sendAudio", "audio"],
  video: ["sendVideo", "video"],
  document: ["sendDocument", "document"],
};
/** A larger picture, or one of another kind, still goes as a file. */
const PHOTO_MAX = 10 * 1024 * 1024;
const isPhoto = (file: OutFile): boolean =>
  /^image\/(jpeg|png|webp|bmp)$/i.test(file.mime) && file.bytes.length <= PHOTO_MAX;

async function media(d: SendDeps, to: Where, file: OutFile, caption: string): Promise<Sent> {
  const parts = caption.trim() === "" ? [] : toTelegram(caption, CAPTION);
  const inside = parts.length === 1 ? parts[0]! : null;
  const kind = file.kind === "image" && !isPhoto(file) ? "document" : file.kind;
  const upload = (as: OutFile["kind"]) => {
    const [method, field] = METHOD[as];
    const form = new FormData();
    const fields: Body = {
      ...place(to),
      ...reply(to),
      ...(inside ? { caption: inside.text, caption_entities: inside.entities } : {}),
    };
    for (const [name, value] of Object.entries(fields))
      form.set(name, typeof value === "object" ? JSON.stringify(value) : String(value));
    form.set(field, new File([file.bytes], file.filename, { type: file.mime }));
    return telegramCall(d, method, form, to.chat_id, false);
  };
  let result = await upload(kind);
  // Refused as a picture or a voice: the file itself is still wanted.
  if (
    "fail" in result &&
    kind !== "document" &&
    !result.fail.ambiguous &&
    /PHOTO_|VOICE_|wrong type|IMAGE_PROCESS/i.test(result.fail.error ?? "")
  )
    result = await upload("document");
  if ("fail" in result) return result.fail;
  const id = (result.ok["result"] as Body | undefined)?.["message_id"];
  const ids = typeof id === "number" ? [String(id)] : [];
  if (parts.length <= 1) return done(ids);
  const more = await send(d, to, caption);
  return more.success
    ? done([...ids, ...(more.ids ?? [])])
    : { ...more, ambiguous: true, ...(ids[0] ? { message_id: ids[0] } : {}) };
}

/** A file of a message: asked for by its id, read under a URL that holds the token and is told to nobody. */
async function file(d: SendDeps, ref: MediaRef): Promise<Fetched> {
  const asked = await telegramCall(d, "getFile", { file_id: ref.ref }, "files", true);
  if ("fail" in asked) return { why: (asked.fail.error ?? "refused").replace(/^telegram: (Bad Request: )?/, "") };
  const path = text((asked.ok["result"] as Body | undefined)?.["file_path"]);
  if (path === null || path.includes("..")) return { why: "Telegram named no file" };
  try {
    const response = await fetch(fileUrl(d, path), { redirect: "manual", signal: AbortSignal.timeout(WAIT_MS) });
    if (response.ok) return { response, filename: ref.filename ?? path.slice(path.lastIndexOf("/") + 1) };
    await response.body?.cancel();
    return { why: `HTTP ${response.status}` };
  } catch {
    return { why: "no answer from Telegram" };
  }
}

/** What a gateway sends to Telegram (chat-platforms §3.4). */
export const telegramSender: Sender = {
  name: "telegram",
  limit: LIMIT,
  unset: (vars, app) => (appVar(vars, "REVEILLE_TELEGRAM_BOT_TOKEN", app) ? null : "REVEILLE_TELEGRAM_BOT_TOKEN"),
  send,
  edit,
  typing,
  react,
  prompt,
  info,
  media,
  file,
};
