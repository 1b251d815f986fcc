/** What the platforms share: the event on the wire, what a normaliser makes of a webhook, what a sender answers. */

export const PLATFORMS = ["slack", "discord", "telegram", "whatsapp", "sms"] as const;
export type PlatformName = (typeof PLATFORMS)[number];

/** The known kinds; any other text would be read as `text` by a gateway (hermes-relay §6.3). */
export type MessageType =
  | "text"
  | "photo"
  | "video"
  | "audio"
  | "voice"
  | "document"
  | "sticker"
  | "location"
  | "command";

export type ChatType = "dm" | "group" | "channel" | "thread" | "forum";

/** hermes-relay §6.1. All ids are texts. `null`, never omission, for the always-rows. */
export interface SessionSource {
  platform: PlatformName;
  chat_id: string;
  chat_type: ChatType;
  chat_name: string | null;
  user_id: string | null;
  user_name: string | null;
  thread_id: string | null;
  chat_topic: string | null;
  scope_id?: string;
  parent_chat_id?: string;
  message_id?: string;
  user_display_name?: string;
  profile?: string;
  is_bot: boolean;
  message_is_edit: boolean;
  one_to_one_verified?: boolean;
}

export interface MediaItem {
  /** Equal to its text in `media_urls`: a gateway matches by it. */
  url: string;
  kind: "image" | "video" | "audio" | "voice" | "document" | "sticker";
  mime: string | null;
  size: number | null;
  filename: string | null;
  caption: string | null;
}

/** hermes-relay §6.3: what a gateway reads. Never carries a credential. */
export interface MessageEvent {
  text: string;
  message_type: MessageType;
  message_id: string | null;
  reply_to_message_id: string | null;
  reply_to?: { text?: string; author?: string; is_own?: boolean };
  media_urls: string[];
  media: MediaItem[];
  prompt_response?: { prompt_id: string; option_id: string; label?: string; prompt_message_id?: string };
  source: SessionSource;
}

/**
 * A file to fetch with the platform's own credential when the event is handed to a gateway, and to re-host then (§6.4). Holds a
 * reference, never a link that carries a token.
 */
export interface MediaRef {
  /** Slack: `url_private_download`; Discord: the CDN link; Telegram: `file_id`; WhatsApp: media id; Twilio: the media link. */
  ref: string;
  kind: MediaItem["kind"];
  mime: string | null;
  size: number | null;
  filename: string | null;
  caption: string | null;
}

export type CapabilityKind = "discord.interaction_token" | "slack.response_url" | "telegram.business_connection";

/** A credential taken out of a payload, on its way into the vault (hermes-relay §7). Never logged, never in a row unsealed. */
export interface StrippedCapability {
  kind: CapabilityKind;
  value: string;
  /** Wall ms. */
  expires_at: number;
  /** Null: as often as it lives. */
  uses: number | null;
  /** What is not secret: `application_id`, `interaction_id`, whether the deferred reply is `ephemeral`. */
  meta: Record<string, string>;
}

/** A Discord interaction, sanitised: `forward` of a passthrough frame without its id (hermes-relay §6.6). */
export interface Passthrough {
  platform: PlatformName;
  botId: string;
  method: string;
  path: string;
  headers: [string, string][];
  bodyB64: string;
}

/** One verified, normalised event before the gate. Pure data; safe to store except `capabilities`. */
export interface Inbound {
  platform: PlatformName;
  /** The app's name in our URL. */
  app: string;
  /** `platform:app:delivery id` and `platform:scope:chat:message:kind:edit version`; either present means a duplicate (chat-platforms §0). */
  d1: string;
  d2: string | null;
  event: MessageEvent;
  /** A mention of us, a reply to us, a DM, a command or a press. */
  addressed: boolean;
  /** Our own message come back: never forwarded. */
  own: boolean;
  media: MediaRef[];
  /** Pictures of one album share it. */
  album: string | null;
  capabilities: StrippedCapability[];
  /** Instead of `event`, which is then only read by the gate and the pages. */
  passthrough: Passthrough | null;
}

/** What a platform gets back. */
export interface Answer {
  status: number;
  body?: string;
  headers?: Record<string, string>;
}

/** A pressed button whose token is not a prompt's: one of our own notices, or foreign. */
export interface OtherPress {
  token: string;
  user_id: string;
  user_name: string | null;
}

/** What a webhook's bytes came to. */
export interface Reading {
  /** What the platform gets once everything in `events` is durable. */
  answer: Answer;
  /** Instead of `answer` when the gate let no event through: a deferred reply that nobody would end. */
  unheard?: Answer;
  events: Inbound[];
  /** Why there is no event, for the log and the count: an unknown type, a subtype, an unfurl. Bounded, without content. */
  ignored: string | null;
  presses?: OtherPress[];
  /** What was stripped by value, and shapes of more: the pipeline removes them from whatever it stores. Never logged. */
  secrets: string[];
  shapes: RegExp[];
  /** Telegram's `callback_query.id`: spent at the edge once all is durable, so that the button stops spinning. */
  spinner?: string;
  /** A message was deleted: its turn is cancelled while it is queued. The author's event, as far as known, for the gate. */
  deleted?: Inbound;
  /** A chat has a new id (Telegram's supergroup). */
  migrated?: { from: string; to: string };
  /** The tenant's tokens were revoked, or an app was removed: purge (Slack `tokens_revoked`). */
  revoked?: { scope_id: string };
}

/** Who our bot is, as far as known: without it mentions and echoes are told by ids only. */
export interface BotIdentity {
  /** Slack bot user id, Discord application id, Telegram bot id, WhatsApp phone number id, Twilio number. */
  bot_id: string;
  /** Slack `B...`. */
  bot_ref: string | null;
  username: string | null;
}

/** hermes-relay §8: the answer to one outbound op. `code` only for authorisation. */
export interface OpResult {
  success: boolean;
  message_id?: string;
  thread_id?: string;
  error?: string;
  code?: string;
  ambiguous?: boolean;
  chat_info?: { name: string; type: string };
  /** Machine fields of chat-platforms §0. */
  error_code?: string;
  retryable?: boolean;
  retry_after_ms?: number;
}
