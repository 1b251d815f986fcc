import { auditIfChanged } from "../audit";
import { describe } from "../kernel/errors";
import { newId } from "../kernel/ids";
import type { Runtime } from "../kernel/runtime";
import { BODY_MAX, TITLE_MAX } from "./notice";
import { findNotice, insertNotice, settleNotice } from "./notice.store";
import { clipWords, plain } from "./text";
import type { Notice } from "./types";
import { SWEEP_GRACE } from "./wake";
import { giveUpTry, plainResult, type WakeWork } from "./wake.store";

/** The end of a wake that nobody can work on (design §5: `dead`), and the step before it: a try that failed. */

/** Tries that may fail. Planned later tries (a debounce, a channel's pause, the way to the engine) are none of them. */
export const MAX_FAILED_TRIES = 30;

interface Deps {
  db: D1Database;
  runtime: Runtime;
}

/**
 * Runs one claimed wake's step. A throw gives the claim back before it goes on to the queue: its retry would otherwise meet
 * this lease, look like a duplicate and be acked. After 30 of them the wake ends instead; `dead` is then the answer.
 */
export async function tryWake<T>(
  deps: Deps,
  wake: WakeWork,
  claimant: string,
  dead: T,
  work: () => Promise<T>,
): Promise<T> {
  if (wake.attempts > MAX_FAILED_TRIES) {
    await bury(deps, wake, claimant);
    return dead;
  }
  try {
    return await work();
  } catch (error) {
    const { db, runtime } = deps;
    const why = runtime.redact.text(describe(error)).slice(0, 300);
    await giveUpTry(db, wake.wake_id, claimant, runtime.clock.now() + SWEEP_GRACE, why)
      .run()
      .catch((e) => runtime.log("error", "wake.kept", { wake: wake.wake_id, error: describe(e) }));
    throw error;
  }
}

/**
 * Ends a wake as `dead` with a dead letter a person can replay. Whoever was not told yet is told in the inbox, in words made
 * of columns alone: what can't be composed is perhaps why it died.
 */
async function bury({ db, runtime }: Deps, wake: WakeWork, claimant: string): Promise<void> {
  const now = runtime.clock.now();
  const row = await db
    .prepare(
      `SELECT w.last_error, w.plain_noticed_at, COALESCE(i.target_name, t.name) AS name, i.title FROM wake w
       LEFT JOIN incident i ON i.id = w.incident_id LEFT JOIN target t ON t.id = w.target_id WHERE w.wake_id = ?`,
    )
    .bind(wake.wake_id)
    .first<{ last_error: string | null; plain_noticed_at: number | null; name: string | null; title: string | null }>();
  if (row?.plain_noticed_at == null) await tellInbox({ db, runtime }, wake, row ?? { name: null, title: null }, now);
  const dm_status =
    row?.plain_noticed_at == null ? "failed_send" : ((await plainResult(db, wake.wake_id)).dm ?? "failed_send");
  const letter = `wake-${wake.wake_id}`;
  const reason = `The wake failed ${MAX_FAILED_TRIES} tries at its stage "${wake.stage}": ${row?.last_error ?? "each run died"}`;
  await db.batch([
    db
      .prepare(
        `UPDATE wake SET stage = 'dead', dm_status = ?, done_at = ?, claimed_by = NULL, lease_until = NULL
         WHERE wake_id = ? AND claimed_by = ? AND done_at IS NULL`,
      )
      .bind(dm_status, now, wake.wake_id, claimant),
    // A wake that was replayed and died again is a letter once more.
    db
      .prepare(
        `INSERT INTO dead_letter (id, kind, ref, reason, payload, created_at) SELECT ?1, 'wake', ?2, ?3, ?4, ?5 WHERE changes() > 0
         ON CONFLICT (id) DO UPDATE SET reason = ?3, created_at = ?5, replayed_at = NULL, replayed_by = NULL`,
      )
      .bind(letter, wake.wake_id, reason, JSON.stringify({ wake_id: wake.wake_id, kind: wake.kind }), now),
    auditIfChanged(db, {
      at: now,
      seam: "wake.dead",
      source: "cron",
      incident_id: wake.incident_id,
      wake_id: wake.wake_id,
      details: { kind: "wake", reason, dead_letter: letter },
    }),
  ]);
  runtime.log("error", "wake.dead", { wake: wake.wake_id, incident: wake.incident_id, reason });
}

async function tellInbox(
  { db, runtime }: Deps,
  wake: WakeWork,
  about: { name: string | null; title: string | null },
  now: number,
): Promise<void> {
  // One that was stored by a try before this stands in the inbox already.
  const found = await findNotice(db, wake.wake_id, wake.wake_id);
  if (found) {
    if (found.dm_status === null) await settleNotice(db, found.id, "failed_send");
    return;
  }
  const { publicUrl } = runtime.config;
  const name = plain(about.name ?? wake.target_id ?? "Reveille");
  const said = about.title === null ? "" : ` It says: ${plain(about.title)}.`;
  const notice: Notice = {
    id: newId(now),
    event: wake.event,
    severity: wake.severity ?? "warning",
    title: runtime.redact.text(clipWords(`? Not told in time: ${name}`, TITLE_MAX)),
    body: runtime.redact.text(
      clipWords(
        `A wake (${wake.event}) failed ${MAX_FAILED_TRIES} tries, so no channel was told.${said} It is kept as a dead letter and can be replayed.`,
        BODY_MAX,
      ),
    ),
    quote: "",
    incident_id: wake.incident_id,
    target_id: wake.target_id,
    url:
      wake.incident_id === null
        ? `${publicUrl}/inbox`
        : `${publicUrl}/incidents/${encodeURIComponent(wake.incident_id)}`,
    rehearsal: false,
    actions: [],
    at: now,
  };
  await insertNotice(db, notice, { key: wake.wake_id, wake_id: wake.wake_id }, now, {
    at: now,
    seam: "notification.dispatched",
    source: null,
    incident_id: wake.incident_id,
    wake_id: wake.wake_id,
    details: { notice: notice.id, event: notice.event, channel: "inbox", n: 1, state: "sent" },
  });
  await settleNotice(db, notice.id, "failed_send");
}
