import { auditStatement, type Source } from "../audit";
import { SECOND } from "../kernel/clock";
import { describe } from "../kernel/errors";
import { allChannels, type Channel, clipWords, type Notice, type SendResult } from "../notify";
import {
  type Answer,
  type AnswerDeps,
  ASK_LEASE,
  type AskRow,
  type AskSource,
  answerAsk,
  BY_RULES,
  claimAsk,
  claimSend,
  MAX_ATTEMPTS,
  markSendFailed,
  markSent,
  readAsk,
  releaseAsk,
  sendIsOver,
  signature,
  storeAnswer,
} from "../reason";

/**
 * A question to its end: claim, answer, store, send. What is stored is never made again and what may have been sent is sent
 * again once and says so, whichever step a run dies in (design §5).
 */

export interface AskDeps extends AnswerDeps {
  /** Default: every channel. */
  channels?: readonly Channel[];
}

/** `retry_at`: somebody else is at work, or a channel refused for now; Reveille ms. */
export type AskResult = { done: true } | { done: false; retry_at: number };

/** A send has 10 s (`Channel.send`); a run that holds one longer is dead. Wall ms. */
const SEND_LEASE = 30 * SECOND;

const SOURCE: Record<AskSource, Source> = {
  slack_dm: "slack_dm",
  email: "email",
  inbox: "operator",
  api: "api",
  run: "cron",
};

/** Answers and sends one question; calling it again goes on where it stands. @throws when the store does not answer. */
export async function processAsk(deps: AskDeps, id: string): Promise<AskResult> {
  const { db, runtime } = deps;
  const mine = await claimAsk(db, id, runtime.clock.now(), ASK_LEASE * runtime.clock.rate);
  if (mine) await answerOnce(deps, mine);
  const row = await readAsk(db, id);
  if (!row) {
    runtime.log("warn", "ask.unknown", { ask: id });
    return { done: true };
  }
  if (row.answered_at === null) return { done: false, retry_at: row.lease_until ?? runtime.clock.now() };
  return sendAnswer(deps, row);
}

/**
 * Ends a question that failed every try: it gets that answer, and the answer is sent once like any other. False when it is
 * answered already or in other hands; the sweeper looks after those.
 */
export async function giveUpAsk(deps: AskDeps, id: string): Promise<boolean> {
  const { db, runtime } = deps;
  const mine = await claimAsk(db, id, runtime.clock.now(), ASK_LEASE * runtime.clock.rate);
  if (!mine) return false;
  await answerOnce(deps, mine, true);
  const row = await readAsk(db, id);
  if (row) await sendAnswer(deps, row);
  return true;
}

async function answerOnce(deps: AskDeps, row: AskRow, over = false): Promise<void> {
  const { db, runtime } = deps;
  const { id } = row;
  const failed = over || row.attempts > MAX_ATTEMPTS;
  let made: Answer;
  try {
    made = failed ? gaveUp(deps) : await answerAsk(deps, row);
  } catch (error) {
    // The next try need not wait for this one's lease.
    await releaseAsk(db, id, row.attempts).catch(() => {});
    throw error;
  }
  const now = runtime.clock.now();
  const { text: _text, cites, ...facts } = made;
  await storeAnswer(db, id, made, failed ? "failed" : "answered", now, {
    at: now,
    seam: "ask.answered",
    source: SOURCE[row.source],
    session_id: `ask:${id}`,
    details: { ask: id, from: row.source, ...facts, cites: cites.map((c) => `${c.kind}:${c.id}`) },
  });
  runtime.log("info", "ask.answered", { ask: id, from: row.source, engine: made.engine, error: made.reasoning_error });
}

const gaveUp = ({ runtime }: AskDeps): Answer => ({
  text: `This question could not be answered: every try failed. The pages show the state; ask again later.`,
  engine: BY_RULES,
  intent: null,
  cites: [],
  as_of: runtime.clock.now(),
  dropped: 0,
  guess: false,
  reasoning_error: null,
  usd: null,
  ms: 0,
});

const CHANNEL: Partial<Record<AskSource, Channel["name"]>> = { slack_dm: "slack", email: "email" };
const AGAIN = "Sent again: the first try may have reached you.";
/** A chat message's head: what a push shows. */
const HEAD = 150;

/** The answer as its channel sends it: the first line is the push, the last says who answered and from which rows. */
export function composeAnswer(row: AskRow, answer: Answer, publicUrl: string, now: number): Notice {
  const rows = answer.cites.map((c) => c.label).join(", ");
  const [first = "", ...rest] = answer.text.split("\n");
  const mail = row.source === "email";
  const head = mail ? "Re: your question to Reveille" : first.length <= HEAD ? first : clipWords(first, HEAD);
  const body = mail || first.length > HEAD ? answer.text : rest.join("\n");
  const tail = [`${signature(answer, now)}.`, rows && `Rows: ${rows}.`, row.sends > 1 && AGAIN]
    .filter(Boolean)
    .join(" ");
  return {
    id: row.id,
    event: "answer",
    severity: "info",
    title: head,
    body: [body, tail].filter((line) => line !== "").join("\n"),
    quote: "",
    incident_id: null,
    target_id: null,
    url: `${publicUrl}/inbox#ask-${row.id}`,
    rehearsal: false,
    actions: [],
    at: now,
  };
}

/** Sends a stored answer to where its question came from; those that are read from their row are done. */
export async function sendAnswer(deps: AskDeps, stored: AskRow): Promise<AskResult> {
  const { db, runtime } = deps;
  if (sendIsOver(stored)) return { done: true };
  const now = runtime.clock.now();
  const row = await claimSend(db, stored.id, now, SEND_LEASE * runtime.clock.rate);
  if (!row) {
    const other = await readAsk(db, stored.id);
    return !other || sendIsOver(other) ? { done: true } : { done: false, retry_at: other.lease_until ?? now };
  }
  const name = CHANNEL[row.source];
  const channel = (deps.channels ?? allChannels).find((c) => c.name === name);
  const missing = channel?.missing(runtime) ?? [`a channel for ${row.source}`];
  if (!channel || missing.length > 0)
    return refused(deps, row, { error: `not set up: ${missing.join(", ")}`, arrived: false, final: true });
  const notice = composeAnswer(row, JSON.parse(row.answer!) as Answer, runtime.config.publicUrl, now);
  const result = await channel
    .send(runtime, {
      notice,
      thread: row.thread || null,
      broadcast: false,
      idempotency_key: `ask:${row.id}:${channel.name}`,
    })
    .catch((error): SendResult => ({ ok: false, error: describe(error), retryable: true, ambiguous: true }));
  if (!result.ok)
    return refused(deps, row, {
      error: runtime.redact.text(result.error).slice(0, 200),
      arrived: result.ambiguous === true,
      final: !result.retryable,
      ...(result.retry_after_ms === undefined ? {} : { wait: result.retry_after_ms }),
    });
  const at = runtime.clock.now();
  await db.batch([
    markSent(db, row.id, at),
    auditStatement(db, {
      at,
      seam: "notification.dispatched",
      source: SOURCE[row.source],
      session_id: `ask:${row.id}`,
      details: {
        ask: row.id,
        event: "answer",
        channel: channel.name,
        n: row.tries,
        state: "sent",
        again: row.sends > 1,
      },
    }),
  ]);
  return { done: true };
}

interface Refusal {
  error: string;
  /** It may have been applied all the same. */
  arrived: boolean;
  final: boolean;
  /** Wall ms the channel asks for. */
  wait?: number;
}

async function refused(deps: AskDeps, row: AskRow, r: Refusal): Promise<AskResult> {
  const { db, runtime } = deps;
  const now = runtime.clock.now();
  const wait = r.wait ?? Math.min(60, 2 ** row.tries) * SECOND;
  const retryAt = now + wait * runtime.clock.rate;
  await markSendFailed(db, row.id, { ...r, retryAt }).run();
  const after = await readAsk(db, row.id);
  const over = !after || sendIsOver(after);
  runtime.log(over ? "error" : "warn", "ask.send_failed", { ask: row.id, error: r.error, over });
  if (!over) return { done: false, retry_at: retryAt };
  await auditStatement(db, {
    at: now,
    seam: "slack_dm.reply_failed",
    source: SOURCE[row.source],
    session_id: `ask:${row.id}`,
    details: { ask: row.id, from: row.source, error: r.error, may_have_arrived: r.arrived || row.sends > 1 },
  }).run();
  return { done: true };
}
