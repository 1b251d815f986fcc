import { auditStatement } from "../audit";
import type { NoticeEvent } from "./types";
import { SWEEP_GRACE, type WakeDeps } from "./wake";
import { shareThread } from "./wake.compose";
import { finish, plainResult, release, type WakeWork } from "./wake.store";

/** What comes after the plain notice: the end of the wake, or its way to the engine (design §5, `kora-watch.md` §6). */

/** Events that reasoning looks into; the rest only moves an incident on. */
const INVESTIGATED: NoticeEvent[] = ["opened", "raised", "settled"];

/** Does this event go on to an engine once it is told? */
export const willInvestigate = (deps: Pick<WakeDeps, "reasoning">, event: NoticeEvent): boolean =>
  deps.reasoning.configured && INVESTIGATED.includes(event);

/** How the plain notice went. `skipped`: why it was not pushed, so why nothing is spent on it. */
export interface Told {
  dm: "sent" | "failed_send" | "suppressed";
  channel: string | null;
  skipped: string | null;
}

/** Ends a told wake, or hands it to the queue `runs`: a plain notice never waits for a model. */
export async function close(deps: WakeDeps, wake: WakeWork, claimant: string, told: Told): Promise<void> {
  const worth = INVESTIGATED.includes(wake.event) && told.dm !== "suppressed";
  if (worth && deps.reasoning.configured) return handOver(deps, wake, claimant);
  const { db, runtime } = deps;
  const now = runtime.clock.now();
  const reasoning_error = worth ? "unconfigured" : null;
  const dm_status = !worth
    ? told.dm
    : told.dm === "sent"
      ? "engine_unavailable_fallback"
      : "engine_unavailable_failed_send";
  const statements = [finish(db, wake.wake_id, claimant, now, { stage: "noticed", dm_status, reasoning_error })];
  if (INVESTIGATED.includes(wake.event)) {
    const payload = JSON.parse(wake.payload) as { probe: string; rehearsal?: boolean };
    statements.push(
      auditStatement(db, {
        at: now,
        seam: "probe.investigation_completed",
        source: "reasoning",
        session_id: `probe:${payload.probe}:${wake.category}`,
        incident_id: wake.incident_id,
        wake_id: wake.wake_id,
        details: {
          probe: payload.probe,
          issue_category: wake.category,
          severity: wake.severity,
          model_used: null,
          input_tokens: 0,
          output_tokens: 0,
          cache_creation_input_tokens: 0,
          cache_read_input_tokens: 0,
          total_cost_usd: 0,
          investigation_duration_ms: 0,
          investigation_summary_text: null,
          dm_status,
          autofix_attempted: false,
          ...(payload.rehearsal === true ? { rehearsal: true } : {}),
          ...(reasoning_error ? { reasoning_error } : { skipped: told.skipped ?? "not pushed" }),
        },
      }),
    );
  }
  await db.batch(statements);
  if (wake.event === "summary") await shareThread(db, wake.wake_id);
  runtime.log("info", "wake.done", {
    wake: wake.wake_id,
    incident: wake.incident_id,
    event_name: wake.event,
    dm_status,
    channel: told.channel,
  });
}

/**
 * Goes on with a wake that came back although its notice was told (a lost message, a crash after the notice): nothing is
 * composed or delivered again.
 */
export async function resumeTold(deps: WakeDeps, wake: WakeWork, claimant: string): Promise<void> {
  // From `reserved` on it belongs to the runs consumer, whether or not an engine is still configured.
  if (wake.stage !== "plain_noticed") return handOver(deps, wake, claimant);
  const told = await plainResult(deps.db, wake.wake_id);
  await close(deps, wake, claimant, { dm: told.dm ?? "suppressed", channel: told.channel, skipped: told.skipped });
}

/** Given back before it is sent: the message may be read before this returns, and must find the wake free. */
async function handOver(deps: WakeDeps, wake: WakeWork, claimant: string): Promise<void> {
  await release(deps.db, wake.wake_id, claimant, deps.runtime.clock.now() + SWEEP_GRACE).run();
  await deps.reasoning.send(wake.wake_id);
}
