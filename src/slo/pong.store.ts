import type { WakeItem } from "../hooks";
import { DAY } from "../kernel/clock";
import { all } from "../kernel/d1";

/** The pong sink (wake-slo §6.2): answers to our own probes are recorded at the hook, and no model is woken for them. */

interface Row {
  id: string;
  topic: string;
  session_id: string | null;
  to_agent: string;
}

/**
 * Which of these messages answer a probe that `agentId` sent within 24 h: its topic or session is known, and the sender is whom
 * it was sent to. By message id, with the probe's id. `now` is Reveille ms, as the rows are.
 */
export async function knownPongs(
  db: D1Database,
  agentId: string,
  items: readonly WakeItem[],
  now: number,
): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  if (items.length === 0) return found;
  const json = (pick: (m: WakeItem) => string): string => JSON.stringify(items.map(pick));
  const probes = await all<Row>(
    db
      .prepare(
        `SELECT p.id, p.topic, p.session_id, d.to_agent FROM wake_slo_probes p JOIN slo_direction d ON d.code = p.direction
         WHERE d.from_agent = ?1 AND p.started_at_ms > ?2
           AND (p.topic IN (SELECT value FROM json_each(?3)) OR p.session_id IN (SELECT value FROM json_each(?4)))`,
      )
      .bind(
        agentId,
        now - DAY,
        json((m) => m.topic),
        json((m) => m.session_id),
      ),
  );
  for (const item of items) {
    const probe = probes.find(
      (p) =>
        (p.topic === item.topic || p.session_id === item.session_id) &&
        (item.from_agent_id ?? item.from_agent) === p.to_agent,
    );
    if (probe) found.set(item.message_id, probe.id);
  }
  return found;
}

/** The row of one pong; a repeated push keeps the first sight of it. */
export const recordPong = (db: D1Database, probeId: string, item: WakeItem, now: number): D1PreparedStatement =>
  db
    .prepare(
      `INSERT INTO slo_pong (message_id, probe_id, session_id, body, seen_at) VALUES (?, ?, ?, ?, ?)
       ON CONFLICT (message_id) DO NOTHING`,
    )
    .bind(item.message_id, probeId, item.session_id, item.body, now);
