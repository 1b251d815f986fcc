import * as z from "zod";
import { sloClaims } from "../../durable-objects/slo-claims.stub";
import {
  endProbe,
  type Hook,
  listAgents,
  readHook,
  recordOutcome,
  type SloMessage,
  sloKeyPlace,
  storeWake,
} from "../hooks";
import { readVar } from "../kernel/config";
import { describe } from "../kernel/errors";
import { guardedFetch } from "../kernel/net-guard";
import { type Runtime, runtimeOf } from "../kernel/runtime";
import {
  CLAIM_LEASE,
  callTool,
  countResponder,
  endpointOf,
  NO_ACK_FOR,
  type Responder,
  type ResponderStatus,
  respond,
  responderKey,
  type ToolCall,
} from "../slo";
import type { ConsumerEnv } from "./env";
import { answerOwnMcp, isOwnMcp } from "./own-mcp";

/**
 * Queue `slo`: each probe to its pong, or on to the normal way (wake-slo §5). Nothing that leads to a model is imported from
 * here (test/node/slo-graph.test.ts). Each step is written before the next, so whatever dies is taken up where it was.
 */

export const sloMessage = z.object({
  hook_id: z.string().min(1).max(100),
  agent_id: z.string().min(1).max(200),
  message_id: z.string().max(200),
  session_id: z.string().max(200),
  topic: z.string().max(500),
  body: z.string().max(1_000),
  received_at: z.number(),
  payload: z.string().max(100_000),
});

/** Probes of one batch that are answered at once: a Worker has six connections. */
const AT_ONCE = 5;

interface Deps {
  env: ConsumerEnv;
  runtime: Runtime;
}

export async function consumeSlo(batch: MessageBatch<unknown>, env: ConsumerEnv): Promise<void> {
  const deps = { env, runtime: runtimeOf(env, "slo") };
  const waiting = [...batch.messages];
  const lane = async (): Promise<void> => {
    for (let message = waiting.shift(); message; message = waiting.shift()) await one(deps, message);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, lane));
}

async function one(deps: Deps, message: Message<unknown>): Promise<void> {
  const { log, clock } = deps.runtime;
  const parsed = sloMessage.safeParse(message.body);
  if (!parsed.success) {
    // Nobody can ever read it: the dead-letter queue keeps it for a person.
    log("error", "slo.bad_message", { id: message.id });
    return message.retry();
  }
  try {
    const until = await answerProbe(deps, parsed.data);
    if (until === null) message.ack();
    // Another copy of it is being answered; once that lease is over it is either done or free.
    else message.retry({ delaySeconds: seconds(until - clock.wall()) });
  } catch (error) {
    const { hook_id, message_id } = parsed.data;
    log("error", "slo.failed", { hook: hook_id, message_id, attempts: message.attempts, error: describe(error) });
    message.retry({ delaySeconds: seconds(CLAIM_LEASE) });
  }
}

const seconds = (ms: number): number => Math.max(1, Math.ceil(ms / 1000) + 1);

/**
 * Answers one probe, or sends it on. Returns null when nothing is left to do, else the wall ms until which another run holds it.
 * @throws when D1, an object or queue `wake` does not answer.
 */
export async function answerProbe(deps: Deps, probe: SloMessage): Promise<number | null> {
  const { env, runtime } = deps;
  const { clock, log, redact } = runtime;
  const dequeued = clock.wall();
  const claims = sloClaims(env.AGENT, probe.agent_id);
  const hook = await readHook(env.DB, probe.hook_id);
  const peer = hook?.slo.peer_url ?? readVar(runtime.vars, "REVEILLE_SLO_PEER_URL");
  const token = crypto.randomUUID();
  const { message_id, received_at } = probe;
  const mine = await claims.claimProbe({ message_id, token, endpoint: peer, received_at, now: dequeued });
  if (mine.state === "busy") return mine.until;
  if (mine.state === "over") {
    log("info", "slo.again", { agent: probe.agent_id, message_id, ended: mine.ended });
    // The run that ended it may have died before it could say so there.
    await (await endProbe(env.DB, probe)).run();
    return null;
  }
  let acked_ms: number | null = null;
  const step = (to: "acked" | "ponged" | "fell_through", status: ResponderStatus | null, no_ack = false) =>
    claims.advanceProbe({
      ...{ message_id, token, to, status, now: clock.wall() },
      ...(no_ack ? { no_ack: { endpoint: peer, until: clock.wall() + NO_ACK_FOR } } : {}),
    });
  const responded = await respond(probe, hook && responderOf(deps, hook, peer), mine, {
    call: (ask) => callTool(ask, fetcherFor(deps, ask)),
    acked: () => {
      acked_ms = clock.wall() - received_at;
      return step("acked", null);
    },
    redact,
  });
  const { status } = responded;
  if (status === "lost") {
    log("warn", "slo.taken_over", { agent: probe.agent_id, message_id });
    return null;
  }
  const replied_ms = clock.wall() - received_at;
  if (responded.status !== "ok") {
    log("warn", "slo.fell_through", { agent: probe.agent_id, message_id, status, detail: responded.detail });
    await fallThrough(env, probe, clock.now());
  }
  const kept = await step(
    status === "ok" ? "ponged" : "fell_through",
    status,
    responded.status === "ok" && responded.no_ack,
  );
  if (kept) await close(deps, probe, status);
  log("info", "slo.answered", {
    ...{ agent: probe.agent_id, message_id, status, queued_ms: dequeued - received_at, acked_ms, replied_ms },
  });
  return null;
}

function responderOf({ env, runtime }: Deps, hook: Hook, peer: string): Responder {
  const { mode, enabled, agent_id, agent_name, slo } = hook;
  return {
    ...{ mode, enabled, agent_id, agent_name },
    endpoint: () => endpointOf(peer, runtime.config.publicUrl),
    answering: slo.enabled,
    ack_mode: slo.ack_mode,
    extended_reply: slo.extended_reply,
    key: async () =>
      responderKey({
        vars: runtime.vars,
        ...{ agent_id, agent_name, key_ref: slo.key_ref, sealed: hook.sealed_slo_key },
        place: sloKeyPlace(agent_id),
        agents: await listAgents(env.DB),
      }),
  };
}

/** Our own `/mcp` is answered here; any other peer over the network, never through a redirect. */
function fetcherFor({ env, runtime }: Deps, ask: ToolCall): (url: URL, init: RequestInit) => Promise<Response> {
  if (isOwnMcp(ask.url, runtime.config.publicUrl)) return (_url, init) => answerOwnMcp(env, runtime, init);
  return async (url, init) =>
    (await guardedFetch(url, { ...init, follow: false }, runtime.config.allowPrivate)).response;
}

/** The probe as an ordinary message, with the payload it came in; durable before its own message is acked. */
export async function fallThrough(env: ConsumerEnv, probe: SloMessage, now: number): Promise<void> {
  const payload = JSON.parse(probe.payload) as Record<string, unknown>;
  const { wake_ids } = await storeWake(env.DB, {
    ...{ hook_id: probe.hook_id, payload, raw: probe.payload, now },
    via: "fall_through",
  });
  if (wake_ids.length > 0)
    await env.WAKE_QUEUE.sendBatch(wake_ids.map((wake_id) => ({ body: { wake_id, kind: "message" } })));
}

/**
 * The end of a probe, and what people are told of it: a failure here takes no answer back, the row's next copy ends it. A probe that
 * fell through has its outcome told by its delivery.
 */
async function close({ env, runtime }: Deps, probe: SloMessage, status: ResponderStatus): Promise<void> {
  try {
    const rows = [await endProbe(env.DB, probe), countResponder(env.DB, probe.agent_id, status, runtime.clock.now())];
    if (status === "ok") rows.push(recordOutcome(env.DB, probe.hook_id, "success:wake_slo_probe"));
    await env.DB.batch(rows);
  } catch (error) {
    runtime.log("warn", "slo.uncounted", { agent: probe.agent_id, error: describe(error) });
  }
}
