/** What the stand-in of the chat platforms is told and tells; apart from its code because tests run where Node's types are not. */

export type Mode =
  | "ok"
  | "ratelimited"
  | "5xx"
  /** Never answers and does nothing. */
  | "hang"
  | "invalid_auth"
  /** The platform's own refusal: `error` names it. */
  | "ok_false"
  /** Does the work, then never answers: the caller can't know. */
  | "apply_then_hang"
  /** An HTML page with status 200, as a proxy in the way gives. */
  | "html"
  /** Does the work, then answers 502. */
  | "apply_then_5xx"
  | "redirect";

export interface Behaviour {
  mode: Mode;
  /** How many calls it holds for; then `ok` again. Default: until changed. */
  times?: number;
  error?: string;
  retry_after?: number;
  /** Holds for calls of this method alone. */
  method?: string;
  /** Milliseconds before each answer. */
  delay?: number;
}

export interface SlackMessage {
  channel: string;
  ts: string;
  text: string;
  blocks: unknown[];
  thread_ts: string | null;
  reply_broadcast: boolean;
  client_msg_id: string | null;
  edits: { text: string; blocks: unknown[] }[];
}
export interface TelegramMessage {
  chat_id: string;
  message_id: number;
  text: string;
  entities: unknown[];
  reply_markup: unknown;
  reply_to: number | null;
  edits: { text: string; reply_markup: unknown }[];
}
export interface HookCall {
  signature: "ok" | "bad" | "missing";
  timestamp: string | null;
  idempotency_key: string | null;
  content_type: string | null;
  body: unknown;
}
/** A message of a platform whose texts the notices never use. Files are told by name, type and size. */
export interface PostedMessage {
  platform: Platform;
  chat: string;
  id: string;
  body: Record<string, unknown>;
  file: { name: string; type: string; size: number } | null;
  edits: Record<string, unknown>[];
  deleted: boolean;
}

export interface Ledger {
  /** By ops of gateways: Discord, WhatsApp, SMS, and files of all. */
  posted: PostedMessage[];
  /** Methods that leave no message: typing, reactions, uploads, deletions, in order. */
  acts: { platform: Platform; method: string; body: Record<string, unknown> }[];
  /** Every call, also refused ones, in order. Tokens are not kept. */
  calls: { platform: Platform; method: string; mode: Mode; at: number }[];
  slack: SlackMessage[];
  telegram: TelegramMessage[];
  telegram_answers: { callback_query_id: string; text: string | null; show_alert: boolean }[];
  webhook: HookCall[];
  /** Requests to `/wake…`: what a sleeping gateway's wake URL was asked. */
  wakes: { method: string; path: string; headers: string[]; body: string }[];
}
export type Platform = "slack" | "telegram" | "webhook" | "discord" | "whatsapp" | "sms";
