import { DAY, SECOND } from "../kernel/clock";
import type { ClaimState, ResponderStatus } from "./types";

/**
 * Who answers a probe, and how far it got (wake-slo §5): one row a probe in the Agent object `slo:{agent id}`. Each step is
 * written before the next and only by the run that holds the lease, so of any number of copies one is answered, and what dies
 * between ack and reply is taken up at the reply. All times are wall ms.
 */

/** Two calls of 5 s, and the store around them. */
export const CLAIM_LEASE = 30 * SECOND;
/** A queue keeps a message 4 days at most; senders repeat within 10 min. */
const REMEMBER = 5 * DAY;

const SCHEMA = `
CREATE TABLE IF NOT EXISTS slo_claim (
  message_id TEXT PRIMARY KEY,
  state TEXT NOT NULL,
  token TEXT NOT NULL,
  lease_until INTEGER NOT NULL,
  status TEXT,
  received_at INTEGER NOT NULL,
  dequeued_at INTEGER NOT NULL,
  ack_done_at INTEGER,
  reply_done_at INTEGER
) WITHOUT ROWID;`;

/** What is kept of one probe: L2's evidence for a prober, and where the time went. */
export interface ClaimRecord {
  message_id: string;
  state: ClaimState;
  status: ResponderStatus | null;
  received_at: number;
  dequeued_at: number;
  ack_done_at: number | null;
  reply_done_at: number | null;
}
type Row = ClaimRecord & { token: string; lease_until: number };

/** `mine`: answer it; `acked` says that the ack is done. `busy`: another run holds it until then. `over`: nothing to do. */
export type ClaimAnswer =
  | { state: "mine"; acked: boolean; skip_ack: boolean }
  | { state: "busy"; until: number }
  | { state: "over"; ended: "ponged" | "fell_through" };

export interface ClaimAsk {
  message_id: string;
  /** Of this run alone. */
  token: string;
  /** Where the answer goes; what is known of its tools is kept by it. */
  endpoint: string;
  received_at: number;
  now: number;
}

export interface Advance {
  message_id: string;
  token: string;
  to: "acked" | "ponged" | "fell_through";
  status: ResponderStatus | null;
  /** When set: this endpoint has no `agent_ack`; not asked again until then. */
  no_ack?: { endpoint: string; until: number };
  now: number;
}

const noAck = (endpoint: string): string => `no_ack:${endpoint}`;

/** Takes a probe for one run. */
export function claimProbe(storage: DurableObjectStorage, ask: ClaimAsk): ClaimAnswer {
  const { sql } = storage;
  sql.exec(SCHEMA);
  const found = read(sql, ask.message_id);
  if (found?.state === "ponged" || found?.state === "fell_through") return { state: "over", ended: found.state };
  // Copies read their clocks before they get here, in any order. A lease from the far future is of a clock that was set back.
  if (found && found.lease_until > ask.now && found.lease_until <= ask.now + 2 * CLAIM_LEASE)
    return { state: "busy", until: found.lease_until };
  const until = ask.now + CLAIM_LEASE;
  if (found)
    sql.exec("UPDATE slo_claim SET token = ?, lease_until = ? WHERE message_id = ?", ask.token, until, ask.message_id);
  else
    sql.exec(
      `INSERT INTO slo_claim (message_id, state, token, lease_until, received_at, dequeued_at)
       VALUES (?, 'claimed', ?, ?, ?, ?)`,
      ...[ask.message_id, ask.token, until, ask.received_at, ask.now],
    );
  const skip = storage.kv.get<number>(noAck(ask.endpoint));
  return { state: "mine", acked: found?.state === "acked", skip_ack: skip !== undefined && skip > ask.now };
}

/** Writes a step of the run that holds the claim. False: it is another's by now, or over. */
export function advanceProbe(storage: DurableObjectStorage, step: Advance): boolean {
  const { sql } = storage;
  sql.exec(SCHEMA);
  const at = step.to === "acked" ? "ack_done_at" : step.to === "ponged" ? "reply_done_at" : null;
  const done = sql.exec(
    `UPDATE slo_claim SET state = ?, status = ?${at ? `, ${at} = ?` : ""}
     WHERE message_id = ? AND token = ? AND state IN (${step.to === "acked" ? "'claimed'" : "'claimed', 'acked'"})
     RETURNING message_id`,
    ...[step.to, step.status, ...(at ? [step.now] : []), step.message_id, step.token],
  );
  if (done.toArray().length === 0) return false;
  if (step.no_ack) storage.kv.put(noAck(step.no_ack.endpoint), step.no_ack.until);
  return true;
}

/** What is known of one probe, or null. */
export function probeRecord(storage: DurableObjectStorage, messageId: string): ClaimRecord | null {
  storage.sql.exec(SCHEMA);
  const row = read(storage.sql, messageId);
  if (!row) return null;
  const { token: _t, lease_until: _l, ...record } = row;
  return record;
}

/** Forgets probes no queue can hold any more. */
export function forgetProbes(storage: DurableObjectStorage, now: number): void {
  storage.sql.exec(SCHEMA);
  storage.sql.exec("DELETE FROM slo_claim WHERE received_at < ?", now - REMEMBER);
}

const read = (sql: SqlStorage, id: string): Row | undefined =>
  sql.exec("SELECT * FROM slo_claim WHERE message_id = ?", id).toArray()[0] as unknown as Row | undefined;
