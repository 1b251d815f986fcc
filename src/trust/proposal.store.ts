import { auditIfChanged } from "../audit";
import { all } from "../kernel/d1";
import type { ClientLevel } from "./types";

/** Table `trust_proposal`: what rules and tier two suggest. Reading and closing; nothing here changes a level. */

export interface TrustProposal {
  id: string;
  client_id: string;
  action: "promote" | "block";
  /** Level of the client when it was suggested. */
  level: ClientLevel;
  reason: string;
  by: "llm" | "rule";
  created_at: number;
  expires_at: number;
}

export const readTrustProposals = (db: D1Database, now: number, limit = 50): Promise<TrustProposal[]> =>
  all<TrustProposal>(
    db
      .prepare(
        `SELECT id, client_id, action, level, reason, by, created_at, expires_at FROM trust_proposal
         WHERE state = 'pending' AND expires_at > ? ORDER BY expires_at LIMIT ?`,
      )
      .bind(now, limit),
  );

export const readTrustProposal = (db: D1Database, id: string, now: number): Promise<TrustProposal | null> =>
  db
    .prepare("SELECT * FROM trust_proposal WHERE id = ? AND state = 'pending' AND expires_at > ?")
    .bind(id, now)
    .first<TrustProposal>();

/** The act a proposal suggested was done: it is answered. */
export const resolveProposals = (
  db: D1Database,
  client: string,
  action: "promote" | "block",
  by: string,
  now: number,
): Promise<unknown> =>
  db
    .prepare(
      `UPDATE trust_proposal SET state = 'confirmed', decided_at = ?, decided_by = ?
       WHERE client_id = ? AND action = ? AND state = 'pending'`,
    )
    .bind(now, by, client, action)
    .run();

/** True when it was still open. The audit row stands in the same batch. */
export async function rejectProposal(db: D1Database, id: string, by: string, now: number): Promise<boolean> {
  const [row] = await db.batch([
    db
      .prepare(
        "UPDATE trust_proposal SET state = 'rejected', decided_at = ?, decided_by = ? WHERE id = ? AND state = 'pending'",
      )
      .bind(now, by, id),
    auditIfChanged(db, {
      at: now,
      seam: "trust.changed",
      source: "operator",
      details: { actor: by, action: "reject_proposal", proposal: id },
    }),
  ]);
  return (row?.meta.changes ?? 0) > 0;
}
