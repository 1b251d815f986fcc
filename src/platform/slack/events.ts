import * as z from "zod";
import { appVar } from "../../kernel/config";
import type { AppFacts } from "../adaptor";
import type { Inbound, MediaItem, MediaRef, MessageType } from "../types";
import { blocksMention, flatten, mentions, readSlackText } from "./text";

/** Slack's Events API as normalised events (chat-platforms §1.2). Pure. */

export const id = z.string().regex(/^[A-Z0-9]{1,40}$/);
/** A message's `ts` is a text: parsed to a number it would lose its end. */
export const ts = z.string().regex(/^\d{1,12}\.\d{1,10}$/);

const file = z.object({
  id: z.string().max(100).optional(),
  name: z.string().nullish(),
  title: z.string().nullish(),
  mimetype: z.string().max(200).nullish(),
  subtype: z.string().nullish(),
  size: z.number().int().nonnegative().nullish(),
  mode: z.string().nullish(),
  file_access: z.string().nullish(),
  url_private_download: z.string().max(2_000).nullish(),
  url_private: z.string().max(2_000).nullish(),
});
type SlackFile = z.infer<typeof file>;

export const envelope = z.object({
  type: z.literal("event_callback"),
  team_id: id,
  enterprise_id: id.nullish(),
  api_app_id: id.optional(),
  event_id: z.string().min(1).max(100),
  event: z.object({ type: z.string().max(100), subtype: z.string().max(100).nullish() }).loose(),
});
export type Envelope = z.infer<typeof envelope>;

const message = z.object({
  type: z.string(),
  subtype: z.string().nullish(),
  channel: id,
  channel_type: z.string().max(40).optional(),
  user: id.nullish(),
  username: z.string().max(200).nullish(),
  bot_id: id.nullish(),
  app_id: id.nullish(),
  bot_profile: z.object({ app_id: id.nullish() }).nullish(),
  ts,
  thread_ts: ts.nullish(),
  parent_user_id: id.nullish(),
  text: z.string().nullish(),
  blocks: z.unknown().optional(),
  attachments: z.unknown().optional(),
  files: z.array(file.catch({})).max(100).nullish(),
});
export type SlackMessageEvent = z.infer<typeof message>;

/** Subtypes that are a turn of somebody. Others are the room talking about itself. */
const TURNS = new Set(["file_share", "thread_broadcast", "me_message", "bot_message"]);

export type EventReading = { inbound: Inbound } | { ignored: string } | { deleted: Inbound } | { revoked: string };

export const slackIm = (channel: string, type?: string): boolean => (type ? type === "im" : channel.startsWith("D"));

/** One event callback. `bot`: our own bot user, when known. */
export function readEvent(outer: Envelope, facts: AppFacts, app: string, bot: string | null): EventReading {
  const { event } = outer;
  switch (event.type) {
    case "tokens_revoked":
    case "app_uninstalled":
      return { revoked: outer.team_id };
    case "message":
    case "app_mention":
      break;
    default:
      return { ignored: `event ${event.type}` };
  }
  if (event.subtype === "message_deleted") return readDeleted(outer, facts, app, bot);
  if (event.subtype === "message_changed") return { ignored: editOrUnfurl(event) };
  if (event.subtype && !TURNS.has(event.subtype)) return { ignored: `subtype ${event.subtype}` };
  if (event["hidden"] === true) return { ignored: "hidden message" };
  // The twin of an edited message: app_mention fires for edits too.
  if (event["edited"]) return { ignored: "edit" };
  const inner = message.safeParse(event);
  if (!inner.success) return { ignored: `${event.type} of another shape` };
  return { inbound: toInbound(outer, inner.data, facts, app, bot) };
}

/** Edits are logged, not told; unfurls fire the same event without one having happened (§1.2). */
function editOrUnfurl(event: Record<string, unknown>): string {
  const now = event["message"] as { edited?: unknown; text?: unknown } | undefined;
  const before = event["previous_message"] as { text?: unknown } | undefined;
  return now?.edited && now.text !== before?.text ? "edit" : "unfurl";
}

function readDeleted(outer: Envelope, facts: AppFacts, app: string, bot: string | null): EventReading {
  const { channel, channel_type, previous_message } = outer.event;
  const was = message.safeParse({
    type: "message",
    channel,
    channel_type,
    ...(previous_message && typeof previous_message === "object" ? previous_message : {}),
  });
  return was.success
    ? { deleted: toInbound(outer, was.data, facts, app, bot) }
    : { ignored: "deleted message unknown" };
}

export const messageKey = (team: string, channel: string, at: string): string =>
  // No event name: `message` and `app_mention` fire for one message, with different event ids (§1.1).
  `slack:${team}:${channel}:${at}:message:0`;

function toInbound(outer: Envelope, m: SlackMessageEvent, facts: AppFacts, app: string, bot: string | null): Inbound {
  const raw = m.text ?? "";
  const text = raw.trim() ? readSlackText(raw, bot) : flatten(m.blocks, m.attachments, bot);
  const is_bot = Boolean(m.bot_id ?? m.bot_profile) || m.subtype === "bot_message";
  const appId = m.app_id ?? m.bot_profile?.app_id ?? null;
  const own =
    (m.bot_id != null && m.bot_id === facts.bot?.bot_ref) ||
    (appId !== null && appId === outer.api_app_id) ||
    (bot !== null && m.user === bot);
  const im = slackIm(m.channel, m.channel_type);
  const thread = m.thread_ts && m.thread_ts !== m.ts ? m.thread_ts : null;
  const { media, links } = readFiles(m.files ?? [], appVar(facts.vars, "REVEILLE_SLACK_API_URL", app));
  const type: MessageType = /^\/[A-Za-z]/.test(text) ? "command" : (media[0] && TYPE[media[0].kind]) || "text";
  const mentioned = bot !== null && (mentions(raw, bot) || (raw === "" && blocksMention(m.blocks, bot)));
  return {
    platform: "slack",
    app,
    d1: `slack:${app}:${outer.event_id}`,
    d2: messageKey(outer.team_id, m.channel, m.ts),
    event: {
      text: [text, ...links].filter(Boolean).join("\n"),
      message_type: type,
      message_id: m.ts,
      reply_to_message_id: thread,
      media_urls: [],
      media: [],
      source: {
        platform: "slack",
        chat_id: m.channel,
        // Several people in one DM are a DM to Hermes; `one_to_one_verified` tells them apart.
        chat_type: im || m.channel_type === "mpim" ? "dm" : "group",
        chat_name: null,
        user_id: m.user ?? m.bot_id ?? null,
        user_name: m.username ?? null,
        thread_id: thread,
        chat_topic: null,
        scope_id: outer.team_id,
        message_id: m.ts,
        is_bot,
        message_is_edit: false,
        ...(im ? { one_to_one_verified: !is_bot } : m.channel_type === "mpim" ? { one_to_one_verified: false } : {}),
      },
    },
    addressed:
      m.type === "app_mention" || im || mentioned || (bot !== null && thread !== null && m.parent_user_id === bot),
    own,
    media,
    album: null,
    capabilities: [],
    passthrough: null,
  };
}

export const TYPE: Record<MediaItem["kind"], MessageType> = {
  image: "photo",
  video: "video",
  audio: "audio",
  voice: "voice",
  document: "document",
  sticker: "sticker",
};

const kindOf = (f: SlackFile): MediaItem["kind"] => {
  if (f.subtype === "slack_audio") return "voice";
  const [family] = (f.mimetype ?? "").split("/");
  return family === "image" || family === "video" || family === "audio" ? family : "document";
};

/**
 * Files to fetch with the bot token. Only links to Slack itself: the token goes along, and a file's link may be anybody's. A
 * file of another workspace has no link yet: `slack-file:ID` is asked for by files.info.
 */
function readFiles(files: SlackFile[], api: string): { media: MediaRef[]; links: string[] } {
  const media: MediaRef[] = [];
  const links: string[] = [];
  for (const f of files) {
    if (f.mode === "tombstone" || f.mode === "hidden_by_limit") continue;
    const url = f.url_private_download ?? f.url_private ?? "";
    const filename = f.name ?? f.title ?? null;
    const ref = fromSlack(url, api) ? url : f.file_access === "check_file_info" && f.id ? `slack-file:${f.id}` : null;
    if (ref === null) links.push(`[file ${[filename, url].filter(Boolean).join(": ")}]`);
    else media.push({ ref, kind: kindOf(f), mime: f.mimetype ?? null, size: f.size ?? null, filename, caption: null });
  }
  return { media, links };
}

function fromSlack(url: string, api: string): boolean {
  if (!URL.canParse(url)) return false;
  const { protocol, hostname, origin } = new URL(url);
  if (URL.canParse(api) && new URL(api).origin === origin) return true;
  return protocol === "https:" && /(?:^|\.)slack(?:-gov|-files)?\.com$/.test(hostname);
}
