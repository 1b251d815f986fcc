import type { SendDeps } from "./call";
import type { MediaItem, MediaRef, OpResult, PlatformName } from "./types";

/** What a platform's egress is to the connector (hermes-relay §8). Each op appears only where it is really done. */

/** Where in a chat a message goes. */
export interface Where {
  chat_id: string;
  thread_id: string | null;
  reply_to: string | null;
  /** The op's metadata: an open bag of hints. */
  metadata: Record<string, unknown>;
}

export interface PromptOption {
  label: string;
  /** `hp1:...`: what comes back when it is pressed. */
  token: string;
  style: "primary" | "success" | "danger" | "secondary";
}

/** A file on its way out, in memory: at most 25 MiB. */
export interface OutFile {
  kind: "image" | "voice" | "audio" | "video" | "document";
  bytes: Uint8Array;
  mime: string;
  filename: string;
}

/** `ids`: every message the op made, in order; the first is the op's `message_id`. `chat_id`: where it really went. */
export interface Sent extends OpResult {
  ids?: string[];
  chat_id?: string;
  nonce?: string;
}

/** A file as the platform gives it: to be streamed, or why it can't be had, in words for the message. */
export type Fetched = { response: Response; mime?: string | null; filename?: string | null } | { why: string };

export interface Sender {
  name: PlatformName;
  /** Longest message of one call, in the platform's unit. */
  limit: number;
  /** The variable without which nothing can be sent, or null. */
  unset(vars: Record<string, unknown>, app: string): string | null;
  send(d: SendDeps, to: Where, content: string): Promise<Sent>;
  /** `ids`: the parts of the message as far as known; what is left over is deleted, what is more is added. */
  edit?(d: SendDeps, to: Where, ids: string[], content: string): Promise<Sent>;
  /** `content`: undefined = a heartbeat, "" = clear. */
  typing?(d: SendDeps, to: Where, content: string | undefined): Promise<OpResult>;
  react?(d: SendDeps, to: Where, messageId: string, emoji: string, remove: boolean): Promise<OpResult>;
  prompt?(d: SendDeps, to: Where, content: string, options: PromptOption[]): Promise<Sent>;
  info?(d: SendDeps, chatId: string): Promise<OpResult>;
  media?(d: SendDeps, to: Where, file: OutFile, caption: string): Promise<Sent>;
  /** Where a thread belongs, when the platform knows threads as chats of their own; null: unknown. */
  parentOf?(d: SendDeps, threadId: string): Promise<string | null>;
  /** A file of an event, with the platform's own credential. Never throws. */
  file?(d: SendDeps, ref: MediaRef): Promise<Fetched>;
}

/** Ops a sender does, as its descriptor tells a gateway. `follow_up` where the platform hands out what it needs. */
export function opsOfSender(s: Sender): string[] {
  return [
    "send",
    ...(s.edit ? ["edit"] : []),
    ...(s.typing ? ["typing"] : []),
    ...(s.name === "slack" || s.name === "discord" ? ["follow_up"] : []),
    ...(s.info ? ["get_chat_info"] : []),
    ...(s.media ? ["send_media"] : []),
    ...(s.prompt ? ["prompt"] : []),
    ...(s.react ? ["react"] : []),
  ];
}

export const text = (value: unknown): string | null => (typeof value === "string" && value !== "" ? value : null);

export const failure = (error: string, error_code: string, more: Partial<OpResult> = {}): OpResult => ({
  success: false,
  error,
  error_code,
  ...more,
});

export const done = (ids: string[], more: Partial<Sent> = {}): Sent => ({
  success: true,
  ...(ids[0] === undefined ? {} : { message_id: ids[0] }),
  ids,
  ...more,
});

/**
 * Sends parts one after the other. When one fails after another went, the whole may not be sent again blindly: that is told as
 * `ambiguous`, with the first part's id.
 */
export async function inTurn<T>(
  parts: readonly T[],
  one: (part: T, n: number) => Promise<Sent>,
  before: string[] = [],
): Promise<Sent> {
  const ids = [...before];
  let last: Sent = { success: true };
  for (const [n, part] of parts.entries()) {
    last = await one(part, n);
    if (!last.success)
      return n === 0 && before.length === 0
        ? last
        : {
            ...last,
            error: `${ids.length} of ${parts.length + before.length} parts were sent; then: ${last.error ?? "refused"}`,
            ambiguous: true,
            ids,
            ...(ids[0] ? { message_id: ids[0] } : {}),
          };
    ids.push(...(last.ids ?? []));
  }
  return done(ids, {
    ...(last.chat_id ? { chat_id: last.chat_id } : {}),
    ...(last.thread_id ? { thread_id: last.thread_id } : {}),
  });
}

export type { MediaItem };
