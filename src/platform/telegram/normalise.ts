import type { AppFacts } from "../adaptor";
import { parsePromptToken } from "../prompt-token";
import type { BotIdentity, ChatType, Inbound, MediaRef, MessageEvent, MessageType, SessionSource } from "../types";
import type { CallbackQuery, Entity, TelegramChat, TelegramFile, TelegramMessage, TelegramUser } from "./update";

/** Telegram's messages and presses as normalised events (chat-platforms §3.2, hermes-relay §6.1). Pure. */

const fullName = (u: { first_name?: string | null; last_name?: string | null }): string =>
  [u.first_name, u.last_name].filter(Boolean).join(" ");

/** The General topic of a forum has no id in updates; Hermes knows it as 1. */
const GENERAL = "1";

function placeOf(m: TelegramMessage): { chat_type: ChatType; thread_id: string | null } {
  const { type, is_forum } = m.chat;
  // In an ordinary group the field marks a chain of replies: using it would split sessions.
  const topic = m.is_topic_message ? (m.message_thread_id ?? null) : null;
  if (type === "private") return { chat_type: "dm", thread_id: topic };
  if (type === "channel") return { chat_type: "channel", thread_id: null };
  if (type === "supergroup" && is_forum) return { chat_type: "forum", thread_id: topic ?? GENERAL };
  return { chat_type: "group", thread_id: null };
}

const chatName = (c: TelegramChat): string | null => c.title || fullName(c) || null;

/** Who wrote: a person, a bot, or a chat speaking for itself (an anonymous admin is a person, a linked channel is not). */
function authorOf(m: TelegramMessage): Pick<SessionSource, "user_id" | "user_name" | "user_display_name" | "is_bot"> {
  if (m.sender_chat && m.chat.type !== "channel") {
    const name = chatName(m.sender_chat);
    const anonymous = m.sender_chat.id === m.chat.id;
    return { user_id: m.sender_chat.id, user_name: name, is_bot: !anonymous };
  }
  return m.from && m.chat.type !== "channel" ? personOf(m.from) : { user_id: null, user_name: null, is_bot: false };
}

const personOf = (u: TelegramUser) => ({
  user_id: u.id,
  user_name: u.username || fullName(u) || null,
  ...(fullName(u) ? { user_display_name: fullName(u) } : {}),
  is_bot: u.is_bot,
});

const sourceOf = (m: TelegramMessage, author: ReturnType<typeof authorOf>, message_id: string): SessionSource => ({
  platform: "telegram",
  chat_id: m.chat.id,
  ...placeOf(m),
  chat_name: chatName(m.chat),
  chat_topic: null,
  ...author,
  message_id,
  message_is_edit: false,
  ...(m.chat.type === "private" ? { one_to_one_verified: !author.is_bot } : {}),
});

interface Words {
  text: string;
  type: MessageType | null;
  addressed: boolean;
  /** A command with another bot's name. */
  foreign: boolean;
}

const same = (a: string, b: string | null | undefined): boolean => !!b && a.toLowerCase() === b.toLowerCase();

/** Text without our own name, and whether it speaks to us. Offsets are UTF-16 units, as JavaScript's are. */
function wordsOf(m: TelegramMessage, bot: BotIdentity): Words {
  const raw = m.text ?? m.caption ?? "";
  const entities = (m.text != null ? m.entities : m.caption_entities) ?? [];
  const at = (e: Entity): string => raw.slice(e.offset, e.offset + e.length);
  const ours = (e: Entity): boolean =>
    (e.type === "mention" && same(at(e).slice(1), bot.username)) ||
    (e.type === "text_mention" && e.user?.id === bot.bot_id);
  const command = entities.find((e) => e.type === "bot_command" && e.offset === 0);
  if (command) {
    const [name, to] = at(command).split("@") as [string, string | undefined];
    const rest = raw.slice(command.length);
    // Before the set-up check has told our name, only a private chat leaves no doubt.
    const mine = to === undefined || same(to, bot.username) || (!bot.username && m.chat.type === "private");
    return { text: `${name}${rest}`.trim(), type: "command", addressed: mine, foreign: !mine };
  }
  const lead = entities.find((e) => ours(e) && raw.slice(0, e.offset).trim() === "");
  const text = lead ? raw.slice(lead.offset + lead.length).replace(/^[\s:,]+/, "") : raw;
  return { text: text.trim(), type: null, addressed: entities.some(ours), foreign: false };
}

interface Carried {
  type: MessageType;
  media: MediaRef[];
  /** Words of a message that has none of its own. */
  text?: string;
}

function carriedBy(m: TelegramMessage): Carried | null {
  const one = (f: TelegramFile, kind: MediaRef["kind"], type: MessageType, mime: string | null = null): Carried => ({
    type,
    media: [
      {
        ref: f.file_id,
        kind,
        mime: f.mime_type ?? mime,
        size: f.file_size ?? null,
        filename: f.file_name ?? null,
        caption: m.caption ?? null,
      },
    ],
  });
  // The sizes of one picture come smallest first.
  const photo = m.photo?.at(-1);
  if (photo) return one(photo, "image", "photo", "image/jpeg");
  if (m.voice) return one(m.voice, "voice", "voice", "audio/ogg");
  if (m.audio) return one(m.audio, "audio", "audio");
  if (m.video) return one(m.video, "video", "video");
  if (m.video_note) return one(m.video_note, "video", "video", "video/mp4");
  // An animation comes as a document too; this one says what it is.
  if (m.animation) return one(m.animation, "video", "video", "video/mp4");
  if (m.document) return one(m.document, "document", "document");
  if (m.sticker) return { ...one(m.sticker, "sticker", "sticker"), text: m.sticker.emoji ?? "" };
  const where = m.location && `${m.location.latitude}, ${m.location.longitude}`;
  if (where)
    return { type: "location", media: [], text: [m.venue?.title, m.venue?.address, where].filter(Boolean).join(", ") };
  if (m.contact) return { type: "text", media: [], text: `${fullName(m.contact)}: ${m.contact.phone_number}` };
  return null;
}

export type MessageReading = { inbound: Inbound } | { ignored: string } | { migrated: { from: string; to: string } };

/** A new message or channel post. */
export function readMessage(m: TelegramMessage, d1: string, app: string, bot: BotIdentity): MessageReading {
  // Both groups tell of the move; the old one's message is enough, the new one's is its twin.
  if (m.migrate_to_chat_id) return { migrated: { from: m.chat.id, to: m.migrate_to_chat_id } };
  if (m.migrate_from_chat_id) return { migrated: { from: m.migrate_from_chat_id, to: m.chat.id } };
  const carried = carriedBy(m);
  if (m.text == null && !carried) return { ignored: "service message" };
  const words = wordsOf(m, bot);
  if (words.foreign) return { ignored: "command for another bot" };
  const author = authorOf(m);
  const reply = m.reply_to_message && !m.reply_to_message.forum_topic_created ? m.reply_to_message : null;
  const toUs = reply?.from?.id === bot.bot_id;
  const quoted = m.quote?.text ?? reply?.text ?? reply?.caption;
  const by = reply && ((reply.sender_chat && chatName(reply.sender_chat)) || (reply.from && fullName(reply.from)));
  const event: MessageEvent = {
    text: words.text || carried?.text || "",
    message_type: words.type ?? carried?.type ?? "text",
    message_id: m.message_id,
    reply_to_message_id: reply?.message_id ?? null,
    ...(reply
      ? { reply_to: { ...(quoted ? { text: quoted } : {}), ...(by ? { author: by } : {}), is_own: toUs } }
      : {}),
    media_urls: [],
    media: [],
    source: sourceOf(m, author, m.message_id),
  };
  return {
    inbound: {
      platform: "telegram",
      app,
      d1,
      d2: `telegram::${m.chat.id}:${m.message_id}:message:0`,
      event,
      addressed: m.chat.type === "private" || words.addressed || toUs,
      own: m.from?.id === bot.bot_id || m.via_bot?.id === bot.bot_id,
      media: carried?.media ?? [],
      album: m.media_group_id ? `${m.chat.id}:${m.media_group_id}` : null,
      capabilities: [],
      passthrough: null,
    },
  };
}

/** A press of a prompt's button; null when it is none, or has no chat (the message was sent inline). */
export function readPress(q: CallbackQuery, app: string): Inbound | null {
  const token = parsePromptToken(q.data ?? "");
  const m = q.message;
  if (!token || !m) return null;
  const label = m.reply_markup?.inline_keyboard.flat().find((b) => b.callback_data === q.data)?.text;
  return {
    platform: "telegram",
    app,
    d1: `telegram:${app}:cb-${q.id}`,
    d2: `telegram::${m.chat.id}:cb-${q.id}:press:0`,
    event: {
      text: `/${token.option_id}`,
      message_type: "command",
      // Each press is its own message (hermes-relay §8.2).
      message_id: q.id,
      reply_to_message_id: null,
      prompt_response: { ...token, ...(label ? { label } : {}), prompt_message_id: m.message_id },
      media_urls: [],
      media: [],
      source: sourceOf(m, personOf(q.from), q.id),
    },
    addressed: true,
    own: false,
    media: [],
    album: null,
    capabilities: [],
    passthrough: null,
  };
}

/** The bot's id is the head of its token, so it is known without a call; its name is not. */
export function botOf(facts: AppFacts, token: string): BotIdentity {
  const bot_id = facts.bot?.bot_id ?? /^(\d{1,20}):/.exec(token)?.[1] ?? "";
  return { bot_id, bot_ref: null, username: facts.bot?.username ?? null };
}
