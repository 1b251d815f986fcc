import { createExecutionContext, createMessageBatch, getQueueResult, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import type { RunMessage } from "../../durable-objects/env";
import consumer from "../../src/consumer";
import type { ConsumerEnv } from "../../src/consumer/env";
import { type RecordedIncident, rowsOf } from "../support/incident-row";
import { llmVars } from "./llm-kit";

/**
 * What tests of an investigation share: rows as the watch commits them, and the consumer's own queue handler run in this
 * isolate with an engine. The queues are the platform's: their messages are kept here, so that a test decides when, how often
 * and after which crash each is delivered.
 */

interface Sent {
  wakes: { wake_id: string }[];
  runs: RunMessage[];
}

export interface Reasoner {
  env: ConsumerEnv;
  sent: Sent;
  /** Delivers one message of queue `wake` or `runs`; true when it was acked. */
  deliver(queue: "wake" | "runs" | "runs-dead", body: unknown): Promise<boolean>;
  /** Delivers the wake, then whatever the consumer sent on, until nothing is left. */
  drive(wakeId: string): Promise<void>;
}

let serial = 0;

export function reasoner(more: Record<string, unknown> = {}): Reasoner {
  const sent: Sent = { wakes: [], runs: [] };
  const own = {
    ...llmVars(),
    WAKE_QUEUE: { send: async (m: { wake_id: string }) => void sent.wakes.push(m) },
    RUNS_QUEUE: { send: async (m: RunMessage) => void sent.runs.push(m) },
    ...more,
  } as unknown as ConsumerEnv;
  const deliver: Reasoner["deliver"] = async (queue, body) => {
    const batch = createMessageBatch(`reveille-${queue}`, [
      { id: `m${++serial}`, timestamp: new Date(), attempts: 1, body },
    ]);
    const ctx = createExecutionContext();
    await consumer.queue(batch as MessageBatch<never>, own);
    const result = await getQueueResult(batch, ctx);
    return result.explicitAcks.length > 0;
  };
  return {
    env: own,
    sent,
    deliver,
    drive: async (wakeId) => {
      await deliver("wake", { wake_id: wakeId, kind: "incident" });
      for (let i = 0; i < 20 && sent.runs.length > 0; i++) await deliver("runs", sent.runs.shift());
    },
  };
}

/** Writes a recording as rows. Returns the ids to follow. */
export async function seed(r: RecordedIncident, now = Date.now()): Promise<{ incident: string; wake: string }> {
  await env.DB.batch(rowsOf(r, now).map((s) => env.DB.prepare(s.sql).bind(...s.values)));
  return { incident: r.id, wake: `wake-${r.id}` };
}

/** Another minute, and another month's money: tests of one file share both otherwise. */
export async function freshBooks(): Promise<void> {
  await env.DB.prepare("UPDATE wake SET created_at = created_at - 600000").run();
  await runInDurableObject(env.BUDGET.get(env.BUDGET.idFromName("budget")), (_, state) => {
    state.storage.sql.exec("DELETE FROM call");
  });
}

/** As after kill -9: the lease of whoever held the wake has run out. */
export const expireLease = (wakeId: string): Promise<unknown> =>
  env.DB.prepare("UPDATE wake SET lease_until = 0 WHERE wake_id = ?").bind(wakeId).run();

/** The store, except that the first statement (or batch with it) matching `pattern` fails as a dying run's would. */
export function dyingStore(pattern: RegExp): D1Database & { died: boolean } {
  const doomed = new WeakSet<object>();
  const box = { died: false };
  const mark = (statement: D1PreparedStatement, sql: string): D1PreparedStatement => {
    if (!pattern.test(sql)) return statement;
    return new Proxy(statement, {
      get(target, key) {
        const value: unknown = Reflect.get(target, key);
        if (key === "bind")
          return (...values: unknown[]) => {
            const bound = mark(target.bind(...values), sql);
            doomed.add(bound);
            return bound;
          };
        if (["run", "first", "all"].includes(String(key)) && !box.died)
          return () => {
            box.died = true;
            return Promise.reject(new Error("the run died here"));
          };
        return typeof value === "function" ? value.bind(target) : value;
      },
    });
  };
  return new Proxy(env.DB, {
    get(target, key) {
      if (key === "died") return box.died;
      if (key === "prepare") return (sql: string) => mark(target.prepare(sql), sql);
      if (key === "batch")
        return (statements: D1PreparedStatement[]) => {
          if (!box.died && statements.some((s) => doomed.has(s))) {
            box.died = true;
            return Promise.reject(new Error("the run died here"));
          }
          return target.batch(statements);
        };
      const value: unknown = Reflect.get(target, key);
      return typeof value === "function" ? value.bind(target) : value;
    },
  }) as D1Database & { died: boolean };
}

export interface WakeRow {
  stage: string;
  dm_status: string | null;
  reasoning_error: string | null;
  done_at: number | null;
}
export const wakeRow = (id: string): Promise<WakeRow | null> =>
  env.DB.prepare("SELECT stage, dm_status, reasoning_error, done_at FROM wake WHERE wake_id = ?")
    .bind(id)
    .first<WakeRow>();

export interface InvestigationRow {
  result: string | null;
  error: string | null;
  evidence: string;
  dropped: number;
  guess: number;
  model: string | null;
  usd: number | null;
  ms: number;
  prompt_hash: string | null;
  identity_hash: string | null;
}
export const investigationRow = (wakeId: string): Promise<InvestigationRow | null> =>
  env.DB.prepare("SELECT * FROM investigation WHERE wake_id = ?").bind(wakeId).first<InvestigationRow>();

/** Audit rows of a wake with this seam, oldest first. */
export async function auditOf(wakeId: string, seam: string): Promise<Record<string, unknown>[]> {
  const { results } = await env.DB.prepare("SELECT details FROM audit WHERE wake_id = ? AND seam = ? ORDER BY id")
    .bind(wakeId, seam)
    .all<{ details: string }>();
  return results.map((r) => JSON.parse(r.details) as Record<string, unknown>);
}
