import { budgetObject } from "../../durable-objects/budget.do";
import { switchboard } from "../../durable-objects/switchboard.do";
import { auditStatement } from "../audit";
import { MINUTE } from "../kernel/clock";
import { readVar } from "../kernel/config";
import { sha256Hex } from "../kernel/crypto";
import { badRequest, describe } from "../kernel/errors";
import { newId } from "../kernel/ids";
import type { Runtime } from "../kernel/runtime";
import { plainLines } from "../notify";
import type { DirectMessage } from "../platform";
import {
  budgetFacts,
  insertAsk,
  lostAsks,
  MAX_QUESTION,
  type NewAsk,
  readLiveState,
  readMark,
  saveLiveState,
} from "../reason";
import type { EdgeEnv } from "./env";

/** Questions on their way to the built-in agent. The edge stores and queues them; only the consumer answers. */

/** Stores a question and queues it. What could not be queued is found by the sweeper: the row is the promise. */
async function put(env: EdgeEnv, runtime: Runtime, ask: NewAsk): Promise<{ id: string; made: boolean }> {
  // People paste what they should not: a known secret is not stored either.
  const stored = await insertAsk(env.DB, { ...ask, question: runtime.redact.text(ask.question) }, runtime.clock.now());
  runtime.log("info", stored.made ? "ask.received" : "ask.duplicate", { ask: stored.id, from: ask.source });
  try {
    await env.RUNS_QUEUE.send({ kind: "ask", ask_id: stored.id });
  } catch (error) {
    runtime.log("error", "ask.send_failed", { ask: stored.id, error: describe(error) });
  }
  return stored;
}

/** Takes a question of a person who reads the answer here (page) or by its id (API). @throws 400 when it is empty or too long. */
export async function askQuestion(
  env: EdgeEnv,
  runtime: Runtime,
  source: "inbox" | "api",
  given: string,
  by: string,
): Promise<string> {
  const question = plainLines(given);
  if (question === "") throw badRequest("empty_question", "The question is empty.", "question");
  if (question.length > MAX_QUESTION)
    throw badRequest(
      "question_too_long",
      `The question has ${question.length} characters; ${MAX_QUESTION} is the most.`,
      "question",
    );
  const id = newId(runtime.clock.now());
  const asked = { id, source, source_ref: null, thread: null, by, question };
  return (await put(env, runtime, asked)).id;
}

/**
 * Takes a direct message of Slack. Only operators are answered; others are counted. The same event, and the same message under
 * another event id, is one question: the id is made of the event, the reference of the message, and both are unique.
 */
export async function askFromSlack(
  env: EdgeEnv,
  runtime: Runtime,
  m: DirectMessage,
): Promise<"asked" | "duplicate" | "denied"> {
  const operators = readVar(runtime.vars, "REVEILLE_SLACK_OPERATOR_ID")
    .split(/[\s,]+/)
    .filter(Boolean);
  if (!operators.includes(m.user)) {
    await auditStatement(env.DB, {
      at: runtime.clock.now(),
      seam: "capability.denied",
      source: "slack_dm",
      details: runtime.redact.json({ what: "slack question", user_id: m.user, reason: "not an operator" }),
    }).run();
    runtime.log("warn", "ask.denied", { from: "slack_dm", user: m.user });
    return "denied";
  }
  const { made } = await put(env, runtime, {
    id: `slack-${(await sha256Hex(`${m.team}:${m.event_id}`)).slice(0, 32)}`,
    source: "slack_dm",
    source_ref: `${m.team}:${m.channel}:${m.ts}`,
    thread: `${m.channel}:${m.root}`,
    by: m.user,
    question: plainLines(m.text).slice(0, MAX_QUESTION).toWellFormed(),
  });
  return made ? "asked" : "duplicate";
}

/** Queues questions again whose message was lost, or whose run died. Returns how many. */
export async function sweepAsks(env: EdgeEnv, runtime: Runtime): Promise<number> {
  const ids = await lostAsks(env.DB, runtime.clock.now());
  if (ids.length > 0) await env.RUNS_QUEUE.sendBatch(ids.map((ask_id) => ({ body: { kind: "ask", ask_id } })));
  return ids.length;
}

/**
 * Body of the listener `snapshot`: works out the state that answers routine questions for free. While nothing changes it keeps
 * out of the minutes of the rules' listener (every third, from the first), so that the busiest minute stays at its 16 rows.
 */
export async function precompute(env: EdgeEnv, runtime: Runtime): Promise<string> {
  const now = runtime.clock.now();
  const db = env.DB;
  const kept = await db
    .prepare("SELECT json_extract(data, '$.mark') AS mark FROM state_snapshot WHERE id = 1")
    .first<{ mark: string }>();
  if (Math.floor(now / MINUTE) % 3 === 1 && kept?.mark === (await readMark(db)).mark) return "unchanged";
  const state = await readLiveState({
    db,
    now,
    budget: () => budgetFacts(budgetObject(env.BUDGET), now),
    switches: () => switchboard(env.SWITCHBOARD).readOrStop(),
  });
  const size = await saveLiveState(db, state);
  return `${state.counts.total} targets, ${state.open_total} incidents open, ${size} bytes`;
}
