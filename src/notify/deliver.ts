import { type AuditRow, auditStatement } from "../audit";
import { describe } from "../kernel/errors";
import type { Runtime } from "../kernel/runtime";
import { errorText, LEASE, nextOn } from "./attempts";
import { pushChannels } from "./channels";
import { rootAfter } from "./notice";
import {
  type Attempt,
  claimAttempt,
  type DmStatus,
  findNotice,
  finishAttempt,
  insertNotice,
  insertSuppressed,
  readAttempts,
  readThreads,
  saveRoot,
  settleNotice,
} from "./notice.store";
import type { Channel, ChannelName, Notice, SendResult } from "./types";

export interface DeliverDeps {
  db: D1Database;
  runtime: Runtime;
  /** Default: the configured push channels in their order. */
  channels?: readonly Channel[];
}

export interface DeliverOptions {
  /** The wake this notice answers: one notice a wake. Null for tests and digests made by hand. */
  wake_id: string | null;
  /** false: inbox only (muted, acknowledged, blind). */
  push?: boolean;
  /** Why nothing is pushed, for the inbox page. */
  reason?: string;
  /** A further notice of the same wake has its own key; one notice a key. Default: the wake's id. */
  key?: string;
}

export type DeliverResult =
  /** `channel` is null when nothing was pushed or every channel failed; `inbox` when no push channel is set up. */
  | { done: true; channel: ChannelName | null; dm: DmStatus }
  /** Call again with the same notice at this Reveille time. */
  | { done: false; retry_at: number };

interface Run {
  db: D1Database;
  runtime: Runtime;
  channels: readonly Channel[];
  notice: Notice;
  wake_id: string | null;
}

/**
 * Delivers one notice: the inbox at once, then the first push channel that takes it (3 tries each). It keeps no state of its
 * own: every call goes on from the rows, so a crash, a second queue delivery or a parallel run never leads to a second send
 * after a `sent`. It does not sleep; the caller calls again at `retry_at`.
 */
export async function deliver(deps: DeliverDeps, given: Notice, opts: DeliverOptions): Promise<DeliverResult> {
  const { db, runtime } = deps;
  const channels = deps.channels ?? pushChannels(runtime);
  const stored = await store(db, runtime, scrub(runtime, given), opts.wake_id, opts.key ?? opts.wake_id);
  const run: Run = { db, runtime, channels, notice: stored.notice, wake_id: opts.wake_id };
  if (stored.dm_status !== null) return finishedBefore(run, stored.dm_status);
  if (opts.push === false) {
    // A run before this one may have told it and died: what is silenced since then was sent all the same.
    const sent = (await readAttempts(db, run.notice.id)).find((row) => row.state === "sent");
    if (sent) return settle(run, sent.channel, "sent");
    const first = channels[0];
    if (first)
      await insertSuppressed(db, run.notice, run.wake_id, first.name, opts.reason ?? "not pushed", runtime.clock.now());
    return settle(run, null, "suppressed");
  }
  return push(run);
}

/** The notice as it is stored: what a first run wrote decides its id, whatever id a later run made up. */
async function store(db: D1Database, runtime: Runtime, notice: Notice, wakeId: string | null, key: string | null) {
  const found = await findNotice(db, notice.id, key);
  if (found) return { notice: { ...notice, id: found.id }, dm_status: found.dm_status };
  const now = runtime.clock.now();
  try {
    await insertNotice(
      db,
      notice,
      { key, wake_id: wakeId },
      now,
      proof({ runtime, notice, wake_id: wakeId }, "inbox", { n: 1, state: "sent" }),
    );
  } catch (error) {
    // Lost to a parallel run, or the store is down: the row decides which.
    const other = await findNotice(db, notice.id, key);
    if (!other) throw error;
    return { notice: { ...notice, id: other.id }, dm_status: other.dm_status };
  }
  return { notice, dm_status: null };
}

async function finishedBefore(run: Run, dm: DmStatus): Promise<DeliverResult> {
  if (dm !== "sent") return { done: true, channel: null, dm };
  const sent = (await readAttempts(run.db, run.notice.id)).find((row) => row.state === "sent");
  return { done: true, channel: sent?.channel ?? "inbox", dm };
}

async function push(run: Run): Promise<DeliverResult> {
  const { db, runtime, channels, notice } = run;
  if (channels.length === 0) return settle(run, "inbox", "sent");
  // Every pass ends the delivery, uses up a try, or closes a try that died; more passes than that can't happen.
  for (let pass = 0; pass < channels.length * 8; pass++) {
    const rows = await readAttempts(db, notice.id);
    const sent = rows.find((row) => row.state === "sent");
    if (sent) return settle(run, sent.channel, "sent");
    const now = runtime.clock.now();
    const open = rows.find((row) => row.state === "sending");
    if (open) {
      const until = open.started_at + LEASE * runtime.clock.rate;
      if (now < until) return { done: false, retry_at: until };
      await abandon(run, open, until);
      continue;
    }
    const step = choose(rows, channels, now, runtime.clock.rate);
    if (step === null) return settle(run, null, "failed_send");
    if (step.do === "wait") return { done: false, retry_at: step.until };
    const id = await claimAttempt(db, notice, run.wake_id, step.channel.name, step.n, now);
    if (id !== null) await attempt(run, step.channel, step.n, id);
  }
  throw new Error(`Notice ${notice.id} did not settle; its rows in notice_attempt contradict each other.`);
}

type Step = { do: "try"; channel: Channel; n: number } | { do: "wait"; until: number };

function choose(rows: Attempt[], channels: readonly Channel[], now: number, rate: number): Step | null {
  for (const [i, channel] of channels.entries()) {
    const own = rows.filter((row) => row.channel === channel.name);
    const next = nextOn(own, now, rate, i === channels.length - 1);
    if (next.do === "try") return { do: "try", channel, n: next.n };
    if (next.do === "wait") return next;
  }
  return null;
}

/** A run died between "about to send" and "sent": nobody can tell whether the message went out. */
async function abandon(run: Run, row: Attempt, at: number): Promise<void> {
  const error = "the run stopped before the answer; the message may have been sent";
  await finishAttempt(
    run.db,
    { id: row.id, state: "unknown", at, ref: null, error },
    proof(run, row.channel, { n: row.n, state: "unknown", error }),
    null,
  );
}

async function attempt(run: Run, channel: Channel, n: number, id: number): Promise<void> {
  const { db, runtime, notice } = run;
  const began = runtime.clock.wall();
  const threads = notice.incident_id === null ? [] : await readThreads(db, notice.incident_id);
  const thread = threads.find((t) => t.channel === channel.name) ?? null;
  let result: SendResult;
  try {
    result = await channel.send(runtime, {
      notice,
      thread: thread?.ref ?? null,
      // What changes an operator's mind is shown in the channel too: nobody follows an old thread.
      broadcast: thread !== null && ["recovered", "raised", "reminder"].includes(notice.event),
      idempotency_key: `${notice.id}:${channel.name}`,
    });
  } catch (error) {
    result = { ok: false, error: runtime.redact.text(describe(error)), retryable: true, ambiguous: true };
  }
  const ms = runtime.clock.wall() - began;
  const state = result.ok ? "sent" : result.ambiguous ? "unknown" : "failed";
  const error = result.ok ? null : errorText(result);
  const ref = result.ok ? result.ref : null;
  await finishAttempt(
    db,
    { id, state, at: runtime.clock.now(), ref, error },
    proof(run, channel.name, { n, state, ms, ...(error === null ? {} : { error }) }),
    notice.incident_id !== null && thread === null
      ? { incident_id: notice.incident_id, channel: channel.name, root: notice }
      : null,
  );
  const fields = {
    notice: notice.id,
    incident: notice.incident_id,
    event_name: notice.event,
    channel: channel.name,
    n,
    ms,
  };
  if (result.ok) runtime.log("info", "notice.sent", { ...fields, title: notice.title });
  else runtime.log("warn", "notice.failed", { ...fields, state, error });
}

/** Root messages first, the status last: a run that dies in between edits again, which changes nothing. */
async function settle(run: Run, channel: ChannelName | null, dm: DmStatus): Promise<DeliverResult> {
  await editRoots(run);
  await settleNotice(run.db, run.notice.id, dm);
  if (dm === "failed_send") run.runtime.log("error", "notice.undeliverable", { notice: run.notice.id });
  return { done: true, channel, dm };
}

/** Shows the latest state in the first message of the incident's threads. Best effort: a failure is a row, not a retry. */
async function editRoots(run: Run): Promise<void> {
  const { db, runtime, notice, channels } = run;
  // An explanation, a question or the end of a fix changes no state: the root keeps saying what is.
  if (notice.incident_id === null || ["opened", "explained", "approval", "fix"].includes(notice.event)) return;
  for (const thread of await readThreads(db, notice.incident_id)) {
    const channel = channels.find((c) => c.name === thread.channel);
    const { root } = thread;
    // Wakes may come out of order: an older notice never hides a newer state.
    if (!channel?.edit || !root || root.shown.id === notice.id || root.shown.at > notice.at) continue;
    const shown = rootAfter(root.first, notice);
    let result: SendResult;
    try {
      result = await channel.edit(runtime, thread.ref, shown);
    } catch (error) {
      result = { ok: false, error: runtime.redact.text(describe(error)), retryable: false };
    }
    if (result.ok) await saveRoot(db, notice.incident_id, thread.channel, { first: root.first, shown });
    else {
      runtime.log("warn", "notice.edit_failed", { notice: notice.id, channel: thread.channel, error: result.error });
      await auditStatement(
        db,
        proof(run, thread.channel, { edit: true, state: "failed", error: errorText(result) }),
      ).run();
    }
  }
}

const SOURCES: Partial<Record<ChannelName, string>> = { slack: "slack_dm", telegram: "telegram", email: "email" };

/** The audit row of a try: no text of the notice, only what happened to it. */
const proof = (
  run: Pick<Run, "runtime" | "notice" | "wake_id">,
  channel: ChannelName,
  details: Record<string, unknown>,
): AuditRow => ({
  at: run.runtime.clock.now(),
  seam: "notification.dispatched",
  source: SOURCES[channel] ?? null,
  incident_id: run.notice.incident_id,
  wake_id: run.wake_id,
  details: run.runtime.redact.json({ notice: run.notice.id, event: run.notice.event, channel, ...details }),
});

const scrub = (runtime: Runtime, n: Notice): Notice => ({
  ...n,
  title: runtime.redact.text(n.title),
  body: runtime.redact.text(n.body),
  quote: runtime.redact.text(n.quote),
});
