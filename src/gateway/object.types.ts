import type { DeliveryState } from "./types";

/** What a Gateway object tells of itself, and what it is asked (hermes-relay §4; the pages and the API show it). */

/** on: a socket listens. going idle: it asked to sleep. asleep: it slept as agreed. dead: no socket, and nobody said so. */
export type GatewayState = "on" | "going idle" | "asleep" | "dead" | "revoked";

export interface SocketView {
  gateway_id: string;
  /** Reveille ms. */
  opened_at: number;
  /** Platforms it greeted with. */
  platforms: string[];
  /** Inbound goes to it. */
  newest: boolean;
  in_flight: number;
}

export interface GatewayView {
  state: GatewayState;
  sockets: SocketView[];
  /** Stored and not acked. */
  waiting: number;
  /** Of these, waiting for their capability to be sealed. */
  received: number;
  /** Dead letters not replayed. */
  dead: number;
  /** Reveille ms of the oldest that waits. */
  oldest_at: number | null;
  /** Reveille ms of the last greeting, ack or close; null: never connected. */
  last_seen: number | null;
  poked_at: number | null;
  /** Why it was dropped, when `revoked`. */
  why: string | null;
}

export interface DeliveryQuery {
  /** Found in ids, keys or text, in any case. */
  q?: string | undefined;
  state?: DeliveryState | undefined;
  /** Rows with a smaller seq than this. */
  before?: number | undefined;
  limit: number;
}

/** One event on its way. Times are Reveille ms but `verified_at`, which is wall ms. */
export interface DeliveryRow {
  seq: number;
  buffer_id: string;
  platform: string;
  app: string;
  chat_id: string;
  user_id: string | null;
  user_name: string | null;
  message_type: string;
  /** The first 200 characters. */
  text: string;
  key: string;
  state: DeliveryState;
  attempts: number;
  verified_at: number;
  stored_at: number;
  sent_at: number | null;
  acked_at: number | null;
  /** When the platform took the first message this instance sent to that chat afterwards. */
  answered_at: number | null;
  /** Why it is dead, or how it ended without an ack. */
  why: string | null;
  /** Its new seq, when an operator sent it again. */
  replayed_as: number | null;
}

export interface ReplayAsk {
  seqs?: number[];
  /** A range of seqs, both ends included. */
  from?: number;
  to?: number;
  /** Every dead letter that was not replayed. */
  all?: boolean;
  /** Also what was delivered, or replayed before. */
  override_dedupe?: boolean;
  /** Who asked, for the common list of dead letters. */
  by?: string;
}

export interface Replayed {
  replayed: { seq: number; as: number }[];
  skipped: { seq: number; why: string }[];
}
