import { createExecutionContext, createMessageBatch, getQueueResult } from "cloudflare:test";
import { inject } from "vitest";
import type { WakeMessage } from "../../durable-objects/env";
import { sloClaims } from "../../durable-objects/slo-claims.stub";
import type { ConsumerEnv } from "../../src/consumer/env";
import { consumeSlo } from "../../src/consumer/slo.consumer";
import type { SloMessage } from "../../src/hooks";
import type { ClaimRecord } from "../../src/slo";
import type { QoopiaControl, QoopiaLedger } from "../support/qoopia.types";
import { edge, fresh, makeHook, PING, probe, TOPIC, wake } from "./hooks-kit";

/** What tests of the responder share: a peer of their own, a hook that answers there, and queue `slo`'s handler in this isolate. */

export const KEY = `q_${"k3y".repeat(14)}x`;
export const STEWARD = `q_${"5tw".repeat(14)}x`;

export interface Setting {
  hook: string;
  agent: string;
  peer: string;
  control(change: QoopiaControl): Promise<void>;
  ledger(): Promise<QoopiaLedger>;
}

/** A peer, an agent at it, its hook; the peer knows message `m` in session `s-m` for every `m` of `messages`. */
export async function setting(
  more: {
    slo?: Record<string, unknown>;
    key?: string | null;
    messages?: string[];
    hook?: Record<string, unknown>;
  } = {},
): Promise<Setting> {
  // The peer is one process for all test files.
  const name = `peer-${crypto.randomUUID()}`;
  const agent = fresh("AG");
  const peer = `${inject("qoopiaUrl")}/${name}`;
  const key = more.key === undefined ? KEY : more.key;
  const hook = await makeHook({
    agent_id: agent,
    agent_name: agent.toLowerCase(),
    slo: { peer_url: peer, ...more.slo },
    ...(key === null ? {} : { slo_key: key }),
    ...more.hook,
  });
  const control = async (change: QoopiaControl): Promise<void> => {
    await (await fetch(`${peer}/_control`, { method: "POST", body: JSON.stringify(change) })).text();
  };
  const messages = (more.messages ?? ["M1"]).map((id) => ({ id, session: `s-${id}`, from: "01A", to: agent }));
  await control({ keys: { [KEY]: agent, [STEWARD]: "steward" }, messages });
  return {
    ...{ hook, agent, peer, control },
    ledger: async () => (await fetch(`${peer}/_ledger`)).json(),
  };
}

/** A probe as ingress puts it into the queue. */
export function queued(at: Setting, id = "M1", more: Partial<SloMessage> = {}): SloMessage {
  const payload = { ...wake(probe(id)), to_agent: at.agent.toLowerCase(), to_agent_id: at.agent };
  return {
    ...{ hook_id: at.hook, agent_id: at.agent, message_id: id, session_id: `s-${id}`, topic: TOPIC, body: PING },
    received_at: Date.now(),
    payload: JSON.stringify(payload),
    ...more,
  };
}

export interface Consumed {
  acked: number;
  retried: number;
  wakes: WakeMessage[];
}

/** One batch through the consumer's handler. What it sends to queue `wake` is kept here. */
export async function consume(bodies: unknown[], more: Record<string, unknown> = {}): Promise<Consumed> {
  const wakes: WakeMessage[] = [];
  const env = {
    ...edge,
    WAKE_QUEUE: {
      sendBatch: async (all: Iterable<{ body: WakeMessage }>) => void wakes.push(...[...all].map((m) => m.body)),
    },
    ...more,
  } as unknown as ConsumerEnv;
  const batch = createMessageBatch(
    "reveille-slo",
    bodies.map((body) => ({ id: crypto.randomUUID(), timestamp: new Date(), attempts: 1, body })),
  );
  const ctx = createExecutionContext();
  await consumeSlo(batch, env);
  const result = await getQueueResult(batch, ctx);
  return { acked: result.explicitAcks.length, retried: result.retryMessages.length, wakes };
}

export const recordOf = (at: Setting, id = "M1"): Promise<ClaimRecord | null> =>
  sloClaims(edge.AGENT, at.agent).probeRecord(id);
