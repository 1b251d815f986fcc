import { auditStatement } from "../audit";
import { describe, ReveilleError } from "../kernel/errors";
import { utcMinute } from "../kernel/format";
import type { Runtime } from "../kernel/runtime";
import { giveBackAction, plain, SNOOZE_MS, useAction } from "../notify";
import { approvalOf } from "../reason";
import { ackIncident, snoozeIncident } from "./acts";
import type { EdgeEnv } from "./env";
import { answerQuestion } from "./fix";

/** One press of a notice's button, verified to come from its platform. */
export interface Pressed {
  action_id: string;
  platform: "slack" | "telegram";
  user_id: string;
  user_name: string | null;
  /** User ids that may act. Empty: nobody. */
  operators: readonly string[];
}

/** What the person who pressed is told. */
export interface Press {
  ok: boolean;
  message: string;
}

const PLATFORM = { slack: "Slack", telegram: "Telegram" };

/** Acts on a button: operators only, each button once. A failed act gives the button back. */
export async function press(env: EdgeEnv, rt: Runtime, p: Pressed): Promise<Press> {
  const now = rt.clock.now();
  if (!p.operators.includes(p.user_id)) {
    await auditStatement(env.DB, {
      at: now,
      seam: "capability.denied",
      source: p.platform,
      details: rt.redact.json({ what: "notice button", user_id: p.user_id, reason: "not an operator" }),
    }).run();
    rt.log("warn", "button.denied", { platform: p.platform, user: p.user_id });
    return { ok: false, message: "Only operators of this Reveille may press this." };
  }
  const by = `${plain(p.user_name ?? p.user_id).slice(0, 40)} (${PLATFORM[p.platform]})`;
  const question = approvalOf(p.action_id);
  if (question) return answered(env, rt, question, by);
  const used = await useAction(env.DB, p.action_id, by, now);
  if (!used.ok) {
    if (used.why === "used") return { ok: false, message: `Used by ${used.by} at ${utcMinute(used.at, now)}.` };
    return {
      ok: false,
      message: used.why === "expired" ? "This button is over 7 days old; open the incident." : "Unknown button.",
    };
  }
  try {
    if (used.action === "ack") {
      const { changed } = await ackIncident(env, rt, used.incident_id, by);
      return { ok: true, message: changed ? "Acked." : "It was acked already." };
    }
    const until = now + SNOOZE_MS;
    await snoozeIncident(env, rt, used.incident_id, until, by);
    return { ok: true, message: `Snoozed till ${utcMinute(until, now)}.` };
  } catch (error) {
    // Resolved or deleted meanwhile: the press has no effect, and saying so is the answer.
    if (error instanceof ReveilleError && error.status < 500)
      return { ok: false, message: error.message.slice(0, 190) };
    await giveBackAction(env.DB, p.action_id, by);
    rt.log("error", "button.failed", { action: used.action, incident: used.incident_id, error: describe(error) });
    throw error;
  }
}

/** Approve or Deny of a fix. A failure on our side is thrown: nothing was taken, so the button may be pressed again. */
async function answered(
  env: EdgeEnv,
  rt: Runtime,
  question: { id: string; answer: "approve" | "deny" },
  by: string,
): Promise<Press> {
  try {
    await answerQuestion(env, rt, question.id, question.answer, by);
    return { ok: true, message: question.answer === "approve" ? "Approved. Running…" : "Denied. Nothing was changed." };
  } catch (error) {
    if (error instanceof ReveilleError && error.status < 500)
      return { ok: false, message: error.message.slice(0, 190) };
    rt.log("error", "button.failed", { action: question.answer, error: describe(error) });
    throw error;
  }
}
