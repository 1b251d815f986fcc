import { MINUTE } from "../kernel/clock";
import { sha256Hex } from "../kernel/crypto";
import { all } from "../kernel/d1";
import type { SloMessage } from "./types";

/**
 * The promise behind `accepted:true` for a probe (`slo_inbox`): a row from before it is accepted until it was answered or fell
 * through. What a queue or a run loses on the way the sweeper sends again; the claim (src/slo/claims.ts) sees to one answer.
 */

/** A probe whose queue message was lost is sent again after this; a claim of a run that died is over by then. */
const RESEND_AFTER = MINUTE;

/** The same for every copy of a probe; an odd id is named by its hash. */
const nameOf = async (id: string): Promise<string> =>
  /^[A-Za-z0-9_.:-]{1,100}$/.test(id) ? id : `sha256:${await sha256Hex(id)}`;

/** The insert of probes; one that is there already stays as it is. `now`: Reveille ms. */
export async function storeProbes(db: D1Database, probes: SloMessage[], now: number): Promise<D1PreparedStatement> {
  const rows = await Promise.all(
    probes.map(async (p) => ({ agent: p.agent_id, id: await nameOf(p.message_id), probe: JSON.stringify(p) })),
  );
  return db
    .prepare(
      `INSERT INTO slo_inbox (agent_id, message_id, probe, next_at)
       SELECT value ->> 'agent', value ->> 'id', value ->> 'probe', ?1 FROM json_each(?2) WHERE true ON CONFLICT DO NOTHING`,
    )
    .bind(now + RESEND_AFTER, JSON.stringify(rows));
}

/** Ends a probe: it was answered, or its fall-through is durable. */
export const endProbe = async (db: D1Database, probe: SloMessage): Promise<D1PreparedStatement> =>
  db
    .prepare("DELETE FROM slo_inbox WHERE agent_id = ? AND message_id = ?")
    .bind(probe.agent_id, await nameOf(probe.message_id));

/** Sends probes again that have not ended in time. Returns how many. @throws when the store or the queue does not answer. */
export async function sweepProbes(
  db: D1Database,
  now: number,
  send: (probes: SloMessage[]) => Promise<void>,
  limit = 100,
): Promise<number> {
  const rows = await all<{ agent_id: string; message_id: string; probe: string }>(
    db
      .prepare(
        "SELECT agent_id, message_id, probe FROM slo_inbox WHERE next_at <= ? ORDER BY next_at, message_id LIMIT ?",
      )
      .bind(now, limit),
  );
  if (rows.length === 0) return 0;
  await send(rows.map((r) => JSON.parse(r.probe) as SloMessage));
  // To the end of the line, so that many that can't end keep none from its turn.
  const later = db.prepare("UPDATE slo_inbox SET next_at = ? WHERE agent_id = ? AND message_id = ?");
  await db.batch(rows.map((r) => later.bind(now + RESEND_AFTER, r.agent_id, r.message_id)));
  return rows.length;
}
