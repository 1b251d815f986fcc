import { auditStatement } from "../audit";
import { DAY, MINUTE } from "../kernel/clock";
import { sha256Hex } from "../kernel/crypto";
import { newId } from "../kernel/ids";
import type { Runtime } from "../kernel/runtime";
import type { TrustProposal } from "./proposal.store";
import type { TierInput, TierVerdict } from "./types";

/** Verdicts of tier two: kept for the time the policy says, proved by an audit row, and never more than a suggestion. */

/** A failure is asked again soon, but not at every frame: a call that failed may have cost something. */
const FAILED_FOR = MINUTE;
const PROPOSAL_LIFE = 7 * DAY;

export const verdictKey = (agent: string, client: string, level: string, policyHash: string): Promise<string> =>
  sha256Hex(JSON.stringify([agent, client, level, policyHash]));

export interface KeptVerdict {
  allow: boolean;
  reason: string;
}

export async function readVerdict(db: D1Database, key: string, now: number): Promise<KeptVerdict | null> {
  const row = await db
    .prepare("SELECT allow, reason FROM trust_verdict WHERE key = ? AND expires_at > ?")
    .bind(key, now)
    .first<{ allow: number; reason: string }>();
  return row ? { allow: row.allow === 1, reason: row.reason } : null;
}

/** Whom it is about and by which rule of which policy it was asked. */
export interface Asked {
  key: string;
  input: TierInput;
  why: string;
  policy_hash: string;
  cache_ms: number;
}

/** Keeps a verdict with its audit row and, when it makes one, its proposal: one batch. */
export async function keepVerdict(
  { db, runtime }: { db: D1Database; runtime: Runtime },
  asked: Asked,
  v: TierVerdict,
): Promise<void> {
  const at = runtime.clock.now();
  const { client_id, level } = asked.input;
  const life = v.failed ? Math.min(FAILED_FOR, asked.cache_ms) : asked.cache_ms;
  const statements = [
    auditStatement(db, {
      at,
      seam: "trust.decided",
      source: "reasoning",
      details: runtime.redact.json({
        actor: "llm",
        action: v.allow ? "allow" : "deny",
        target: client_id,
        from_level: level,
        to_level: level,
        reason: v.reason,
        why_asked: asked.why,
        policy: asked.policy_hash.slice(0, 16),
        counters: asked.input.counters,
        ...(v.failed ? { failed: v.failed } : {}),
        ...(v.propose ? { proposes: v.propose } : {}),
      }),
    }),
  ];
  if (life > 0)
    statements.push(
      db
        .prepare(
          `INSERT OR REPLACE INTO trust_verdict (key, client_id, allow, reason, at, expires_at) VALUES (?, ?, ?, ?, ?, ?)`,
        )
        .bind(asked.key, client_id, v.allow ? 1 : 0, v.reason, at, at + life),
    );
  if (v.propose)
    statements.push(proposeStatement(db, { client_id, level, action: v.propose, reason: v.reason, by: "llm" }, at));
  await db.batch(statements);
}

/** One open proposal a client and action; a second one changes nothing. */
export const proposeStatement = (
  db: D1Database,
  p: Omit<TrustProposal, "id" | "created_at" | "expires_at">,
  at: number,
): D1PreparedStatement =>
  db
    .prepare(
      `INSERT INTO trust_proposal (id, client_id, action, level, reason, by, state, created_at, expires_at)
       VALUES (?, ?, ?, ?, ?, ?, 'pending', ?, ?) ON CONFLICT DO NOTHING`,
    )
    .bind(newId(at), p.client_id, p.action, p.level, p.reason, p.by, at, at + PROPOSAL_LIFE);
