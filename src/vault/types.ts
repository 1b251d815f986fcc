import type { Sent } from "../platform";

/** What callers of a chat's vault hand over and get (hermes-relay §7). The vault is in the chat's Session object. */

/** Names the chat, and with it the object that holds its vault. */
export interface VaultPlace {
  tenant: string;
  instance: string;
  platform: string;
  chat_id: string;
}

export interface SealAsk extends VaultPlace {
  /** The app's name in our URL: whose platform address is called with it. */
  app: string;
  kind: string;
  value: string;
  /** Wall ms. */
  expires_at: number;
  uses: number | null;
  meta: Record<string, string>;
  /** Every session key a gateway may name this chat by; the first is the likeliest. */
  aliases: string[];
  /** d1 of the event it came with: sealing the same event again replaces, never doubles. */
  event: string;
}

/**
 * `session_key`: the newest of that kind for that session. `reply_to`: the interaction itself, or, with null, the only one whose
 * deferred reply is open. `message_id`: the one whose reply that message is; its text is changed.
 */
export type WieldBy = { session_key: string; kind: string } | { reply_to: string | null } | { message_id: string };

export interface WieldAsk extends VaultPlace {
  by: WieldBy;
  content: string;
  metadata: Record<string, unknown>;
  /** Wall ms by which it is to be answered. */
  deadline: number;
}

/** `miss`: nothing here may be used; `open` of the deferred replies still wait. `fallback`: it is over, and was no secret reply. */
export type Wielded =
  | { outcome: "done"; result: Sent }
  | { outcome: "miss"; open: number }
  | { outcome: "fallback"; result: Sent };

/** What pages and the API may see: no path reads a value out. Times are wall ms. */
export interface VaultRow {
  id: string;
  kind: string;
  sealed_at: number;
  expires_at: number;
  uses_left: number | null;
  wielded: number;
  state: "live" | "spent" | "expired" | "replaced";
}
