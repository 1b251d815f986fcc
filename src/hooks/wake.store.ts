import { DAY, MINUTE } from "../kernel/clock";
import { sha256Hex } from "../kernel/crypto";
import { all } from "../kernel/d1";
import { newId } from "../kernel/ids";
import { type Item, itemsOf, withMessages } from "../slo";
import { countTrigger } from "./hook.store";

/**
 * The promise behind `accepted:true`: a wake's row and, for each message of a sender, which wake carries it. A push that is
 * repeated may carry more than the first did (wake-slo §1.2), so what was stored before is taken out, message by message, and
 * the rest is a wake of its own. Both are written in one transaction; of two equal pushes at once, the second reads again.
 */

/** A queue message that did not arrive is sent again by the sweeper after this. */
const RESEND_AFTER = MINUTE;
const TRIES = 5;

export interface NewWake {
  hook_id: string;
  payload: Record<string, unknown>;
  /** The payload as it was received, when nothing was taken out of it. */
  raw?: string | undefined;
  via: "hook" | "fall_through";
  /** Reveille ms. */
  now: number;
}

export interface StoredWakes {
  /** To be sent to queue `wake`: the new one, and those stored before that nobody has taken up yet. */
  wake_ids: string[];
  /** False when every message was stored before. */
  made: boolean;
}

/** The id of an agent's message, or null: then nothing tells a repeat from a new message, and it is stored. */
const idOf = (item: Item): string | null => {
  const id = item["message_id"];
  return typeof id === "string" && id !== "" && id.length <= 200 ? id : null;
};

/** A wake's id is short and plain in every queue message, log and URL; an odd message id is named by its hash. */
const nameOf = async (hookId: string, id: string): Promise<string> =>
  /^[A-Za-z0-9_.-]+$/.test(id) && hookId.length + id.length <= 90 ? id : (await sha256Hex(id)).slice(0, 26);

async function storedBefore(db: D1Database, hookId: string, ids: string[]): Promise<Map<string, string | null>> {
  const rows = await all<{ message_id: string; waiting: string | null }>(
    db
      .prepare(
        `SELECT m.message_id, w.wake_id AS waiting FROM hook_message m
         LEFT JOIN message_wake w ON w.wake_id = m.wake_id AND w.state = 'new'
         WHERE m.hook_id = ? AND m.message_id IN (SELECT value FROM json_each(?))`,
      )
      .bind(hookId, JSON.stringify(ids)),
  );
  return new Map(rows.map((r) => [r.message_id, r.waiting]));
}

/**
 * Stores what of a payload is new. Only an agent's wake has message ids; any other payload is stored each time, since a lost
 * message is worse than a repeated one. @throws when the store does not answer: then nothing may be accepted.
 */
export async function storeWake(db: D1Database, wake: NewWake): Promise<StoredWakes> {
  const items = wake.payload["event_type"] === "agentcomm_wake" ? itemsOf(wake.payload) : [];
  const ids = items.map(idOf).filter((id) => id !== null);
  for (let n = 1; ; n++) {
    const before = await storedBefore(db, wake.hook_id, ids);
    const waiting = [...new Set([...before.values()].filter((id) => id !== null))];
    const isNew = (item: Item): boolean => !before.has(idOf(item) ?? "");
    const kept = items.filter(isNew);
    if (items.length > 0 && kept.length === 0) return { wake_ids: waiting, made: false };
    const whole = kept.length === items.length;
    const payload = whole ? wake.payload : withMessages(wake.payload, kept);
    const lead = items.length === 0 ? null : idOf(payload);
    // A first row of that name may be older than what is known of its messages.
    const tail = lead !== null && n < TRIES ? await nameOf(wake.hook_id, lead) : newId(wake.now);
    const wake_id = `hook:${wake.hook_id}:${tail}`;
    try {
      await db.batch(statements(db, wake, wake_id, payload, whole, kept));
      return { wake_ids: [...waiting, wake_id], made: true };
    } catch (error) {
      if (n >= TRIES || !/UNIQUE constraint/.test(String(error))) throw error;
    }
  }
}

function statements(
  db: D1Database,
  wake: NewWake,
  wakeId: string,
  payload: Record<string, unknown>,
  whole: boolean,
  kept: Item[],
): D1PreparedStatement[] {
  const ids = kept.map(idOf).filter((id) => id !== null);
  const row = db
    .prepare(
      `INSERT INTO message_wake (wake_id, hook_id, payload, via, state, received_at, next_at)
       VALUES (?, ?, ?, ?, 'new', ?, ?)`,
    )
    .bind(
      wakeId,
      wake.hook_id,
      (whole ? wake.raw : undefined) ?? JSON.stringify(payload),
      wake.via,
      wake.now,
      wake.now + RESEND_AFTER,
    );
  const claims = db
    .prepare(
      "INSERT INTO hook_message (hook_id, message_id, wake_id, at) SELECT DISTINCT ?, value, ?, ? FROM json_each(?)",
    )
    .bind(wake.hook_id, wakeId, wake.now, JSON.stringify(ids));
  return [
    row,
    ...(ids.length > 0 ? [claims] : []),
    ...(wake.via === "hook" ? [countTrigger(db, wake.hook_id, wake.now)] : []),
  ];
}

/** Senders repeat a message within 10 min and carry none older than 24 h; what was seen is kept twice as long. */
const REMEMBER = 2 * DAY;

/** Forgets which messages were seen long ago. Returns how many. */
export async function forgetMessages(db: D1Database, now: number): Promise<number> {
  const done = await db
    .prepare("DELETE FROM hook_message WHERE at < ?")
    .bind(now - REMEMBER)
    .run();
  return done.meta.changes;
}
