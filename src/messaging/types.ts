/** The words of the embedded agent messaging (wake-slo §3.2, §7). */

export const KINDS = ["request", "ack", "reply", "status"] as const;
export type MessageKind = (typeof KINDS)[number];

export const PROFILES = ["standard", "read_only", "steward"] as const;
export type Profile = (typeof PROFILES)[number];

/** An agent as its key proves it. */
export interface Caller {
  id: string;
  name: string;
  workspace: string;
  profile: Profile;
}

/** A refusal of a tool, told to the model that called it as "CODE: message" (wake-slo §3.1). */
export type ToolCode =
  | "INVALID_INPUT"
  | "NOT_FOUND"
  | "FORBIDDEN"
  | "CONFLICT"
  | "UNAUTHORIZED"
  | "BUSY"
  | "STORAGE_FULL"
  | "INTERNAL";

/** Crosses RPC as a value: of a thrown error only the message would arrive. */
export type ToolReply = { ok: true; value: Record<string, unknown> } | { ok: false; code: ToolCode; message: string };

export class ToolFault extends Error {
  constructor(
    readonly code: ToolCode,
    message: string,
  ) {
    super(message);
    this.name = "ToolFault";
  }
}

/** Of a message's wake push (wake-slo §7.1). A failed one with attempts left is tried again. */
export type WakeState = "queued" | "delivered" | "failed" | "ignored";

/** A session's row. Times: Reveille ms. */
export interface SessionRow {
  [column: string]: SqlStorageValue;
  id: string;
  topic: string;
  creator_id: string;
  metadata: string | null;
  created_ms: number;
  closed_ms: number | null;
  close_reason: string | null;
}

/** A message's row, its wake in the same row. Times: Reveille ms, but `wake_*` in wall ms: a push is a matter of the network. */
export interface MessageRow {
  [column: string]: SqlStorageValue;
  id: string;
  session_id: string;
  kind: string;
  from_id: string;
  from_name: string;
  to_id: string;
  to_name: string;
  body: string;
  metadata: string | null;
  parent_id: string | null;
  idem_key: string | null;
  created_ms: number;
  delivered_ms: number | null;
  acked_ms: number | null;
  ack_status: string | null;
  /** null: nobody is to be woken for it. */
  wake: WakeState | null;
  wake_made: number | null;
  wake_attempts: number;
  /** When the next attempt is due; null when none is. */
  wake_next: number | null;
  /** Until when an attempt is under way. */
  wake_lease: number | null;
  wake_error: string | null;
}

/** What stands behind an idempotency key (wake-slo §7.2). */
export interface IdemRow {
  [column: string]: SqlStorageValue;
  sender: string;
  key: string;
  content: string;
  /** The recipient as it was asked for, or null; and whom that meant. */
  asked: string | null;
  to_id: string | null;
  to_name: string | null;
  session_id: string;
  message_id: string | null;
}

/** Whom a message may go to. */
export interface Recipient {
  id: string;
  name: string;
  /** Has it an address for wakes? */
  wakes: boolean;
}
