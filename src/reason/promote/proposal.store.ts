import * as z from "zod";
import { auditStatement, type Seam } from "../../audit";
import { iso } from "../../kernel/clock";
import { sha256Hex } from "../../kernel/crypto";
import { all, marks } from "../../kernel/d1";
import { notFound, ReveilleError } from "../../kernel/errors";
import type { Redactor } from "../../kernel/redact";
import {
  EXPIRES_AFTER,
  type Finding,
  type LoopName,
  type PromoteLoop,
  type ProposalState,
  REJECTION_HOLDS,
} from "./types";

/** Stable over days and restarts: the same cluster of the same loop is the same proposal. */
export const proposalKey = async (loop: LoopName, cluster: string): Promise<string> =>
  (await sha256Hex(JSON.stringify([loop, cluster]))).slice(0, 32);

const sessionOf = (loop: LoopName, key: string): string => `promotion:${loop}:${key}`;

interface Row {
  key: string;
  loop: LoopName;
  title: string;
  body: string;
  state: ProposalState;
  seen: number;
  created_at: number;
  updated_at: number;
  decided_at: number | null;
  decided_by: string | null;
}

const bodySchema = z.object({
  confidence: z.number(),
  cluster_size: z.number(),
  approval: z.string(),
  facts: z.record(z.string(), z.union([z.string(), z.number(), z.array(z.string())])),
  vocabulary: z.record(z.string(), z.unknown()),
});

/** A proposal as the API and the inbox show it. */
export interface ProposalView extends z.infer<typeof bodySchema> {
  key: string;
  loop: LoopName;
  title: string;
  state: ProposalState;
  seen: number;
  created_at: string;
  updated_at: string;
  /** When it ends unless its cluster is seen again; null once decided. */
  expires_at: string | null;
  decided_at: string | null;
  decided_by: string | null;
}

function view(row: Row, now: number): ProposalView {
  const stale = row.state === "pending" && row.updated_at < now - EXPIRES_AFTER;
  const state = stale ? "expired" : row.state;
  return {
    ...bodySchema.parse(JSON.parse(row.body)),
    key: row.key,
    loop: row.loop,
    title: row.title,
    state,
    seen: row.seen,
    created_at: iso(row.created_at),
    updated_at: iso(row.updated_at),
    expires_at: state === "pending" ? iso(row.updated_at + EXPIRES_AFTER) : null,
    decided_at: iso(row.decided_at),
    decided_by: row.decided_by,
  };
}

/** Proposals, the one seen last first. One that is past its time reads as expired before a run has written so. */
export async function readProposals(
  db: D1Database,
  q: { state?: ProposalState | undefined; before?: string | undefined; limit: number },
  now: number,
): Promise<ProposalView[]> {
  const rows = await all<Row>(
    db
      .prepare(
        `SELECT * FROM proposal
         WHERE (?1 IS NULL OR ?1 = CASE WHEN state = 'pending' AND updated_at < ?2 THEN 'expired' ELSE state END)
           AND (?3 IS NULL OR (updated_at, key) < (SELECT updated_at, key FROM proposal WHERE key = ?3))
         ORDER BY updated_at DESC, key DESC LIMIT ?4`,
      )
      .bind(q.state ?? null, now - EXPIRES_AFTER, q.before ?? null, q.limit),
  );
  return rows.map((r) => view(r, now));
}

/** Ends what is pending and was not seen for 14 days, of every loop: a loop that was switched off leaves nothing behind. */
export async function expireProposals(db: D1Database, now: number): Promise<number> {
  const done = await db
    .prepare(
      `UPDATE proposal SET state = 'expired', decided_at = ?1, decided_by = 'time' WHERE state = 'pending' AND updated_at < ?2`,
    )
    .bind(now, now - EXPIRES_AFTER)
    .run();
  return done.meta.changes ?? 0;
}

export interface Recorded {
  made: string[];
  updated: number;
  /** Found, and left alone: approved already, or rejected within 90 days. */
  remembered: number;
}

/** At most this many proposals a run: a flood of them is a fault of the loop, not work for a person. */
const MOST = 40;

/**
 * Stores what a loop has found. New clusters become pending with their audit rows; a pending one is updated in place; a
 * rejection holds for 90 days; one that expired, or was rejected longer ago, is pending again under the same key.
 */
export async function recordFindings(
  db: D1Database,
  loop: PromoteLoop,
  findings: readonly Finding[],
  now: number,
  redact: Redactor,
): Promise<Recorded> {
  const found = await Promise.all(
    findings.slice(0, MOST).map(async (f) => ({ f, key: await proposalKey(loop.name, f.cluster) })),
  );
  const out: Recorded = { made: [], updated: 0, remembered: 0 };
  if (found.length === 0) return out;
  const rows = await all<Pick<Row, "key" | "state" | "decided_at">>(
    db
      .prepare(`SELECT key, state, decided_at FROM proposal WHERE key IN (${marks(found.length)})`)
      .bind(...found.map((x) => x.key)),
  );
  const known = new Map(rows.map((r) => [r.key, r]));
  const statements: D1PreparedStatement[] = [];
  for (const { f, key } of found) {
    const title = redact.text(f.title);
    const { confidence, cluster_size, facts, vocabulary } = f;
    const body = JSON.stringify(redact.json({ confidence, cluster_size, approval: loop.approval, facts, vocabulary }));
    const before = known.get(key);
    const held = before?.state === "rejected" && now - (before.decided_at ?? 0) < REJECTION_HOLDS;
    if (before?.state === "approved" || held) {
      out.remembered++;
      continue;
    }
    if (before?.state === "pending") {
      // Only while it is still pending: a person may be deciding right now.
      statements.push(
        db
          .prepare(
            "UPDATE proposal SET title = ?2, body = ?3, seen = seen + 1, updated_at = ?4 WHERE key = ?1 AND state = 'pending' AND updated_at < ?4",
          )
          .bind(key, title, body, now),
      );
      out.updated++;
      continue;
    }
    statements.push(
      db
        .prepare(
          `INSERT INTO proposal (key, loop, title, body, state, seen, created_at, updated_at) VALUES (?1, ?2, ?3, ?4, 'pending', 1, ?5, ?5)
           ON CONFLICT (key) DO UPDATE SET title = ?3, body = ?4, state = 'pending', seen = seen + 1, created_at = ?5,
             updated_at = ?5, decided_at = NULL, decided_by = NULL WHERE state IN ('rejected', 'expired')`,
        )
        .bind(key, loop.name, title, body, now),
      ...seams(loop).map((seam) =>
        auditStatement(db, {
          at: now,
          seam,
          source: "cron",
          session_id: sessionOf(loop.name, key),
          details: { loop: loop.name, proposal: key, cluster_size, confidence, again: before !== undefined },
        }),
      ),
    );
    out.made.push(key);
  }
  if (statements.length > 0) await db.batch(statements);
  return out;
}

const seams = (loop: PromoteLoop): Seam[] => ["promotion.proposed", ...(loop.seam ? [loop.seam] : [])];

export interface Decision {
  answer: "approve" | "reject";
  by: string;
  source: "operator" | "cron";
  /** Written beside `promotion.approved` or `.rejected`. */
  seam?: Seam;
}

/**
 * Approves or rejects a pending proposal, once: of two answers the second is refused, and nothing of it is written. An
 * approval adds its words to the vocabulary in the same batch, and does nothing else.
 * @throws ReveilleError 404; 409 `decided` or `expired`.
 */
export async function decideProposal(
  db: D1Database,
  loops: readonly PromoteLoop[],
  key: string,
  decision: Decision,
  now: number,
): Promise<ProposalView> {
  const read = (): Promise<Row | null> => db.prepare("SELECT * FROM proposal WHERE key = ?").bind(key).first<Row>();
  const row = await read();
  if (!row) throw notFound("proposal", key);
  const loop = loops.find((l) => l.name === row.loop);
  if (!loop) throw new ReveilleError({ status: 409, code: "unknown_loop", message: `No loop is named ${row.loop}.` });
  const state = decision.answer === "approve" ? "approved" : "rejected";
  const body = bodySchema.parse(JSON.parse(row.body));
  const audit = (seam: Seam) =>
    auditStatement(db, {
      at: now,
      seam,
      source: decision.source,
      session_id: sessionOf(row.loop, key),
      details: { loop: row.loop, proposal: key, by: decision.by, cluster_size: body.cluster_size },
    });
  const statements = [
    // NULL breaks NOT NULL and with it the whole batch: whoever comes second writes nothing at all.
    db
      .prepare(
        `UPDATE proposal SET state = CASE WHEN state = 'pending' AND updated_at >= ?2 THEN ?3 END, decided_at = ?4, decided_by = ?5
         WHERE key = ?1`,
      )
      .bind(key, now - EXPIRES_AFTER, state, now, decision.by),
    audit(`promotion.${state}`),
    ...(decision.seam ? [audit(decision.seam)] : []),
  ];
  if (state === "approved") {
    statements.push(
      // The words that stand in the row now: a run may have updated them since it was read.
      db
        .prepare(
          `INSERT INTO vocabulary (id, kind, body, proposal_key, created_at)
           SELECT 'v-' || key, ?2, json_extract(body, '$.vocabulary'), key, ?3 FROM proposal WHERE key = ?1`,
        )
        .bind(key, loop.kind, now),
    );
    if (loop.kind === "phrase") statements.push(audit("phrasebook.updated"));
  }
  try {
    await db.batch(statements);
  } catch (error) {
    if (!String(error).includes("NOT NULL constraint failed: proposal.state")) throw error;
    throw refused((await read()) ?? row, now);
  }
  return view((await read()) ?? row, now);
}

function refused(row: Row, now: number): ReveilleError {
  const seen = view(row, now);
  if (seen.state === "expired")
    return new ReveilleError({
      status: 409,
      code: "expired",
      message: `This proposal expired: its cluster was not seen since ${seen.updated_at}.`,
      hint: "It comes back by itself when it is seen again.",
    });
  return new ReveilleError({
    status: 409,
    code: "decided",
    message: `This proposal was ${seen.state} by ${seen.decided_by ?? "someone"} at ${seen.decided_at}.`,
  });
}
