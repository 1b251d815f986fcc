import { tellAgent } from "../../durable-objects/agent-tell.stub";
import { gatewayObject } from "../../durable-objects/gateway.stub";
import { sessionObject } from "../../durable-objects/session.stub";
import { workspaceObject } from "../../durable-objects/workspace.stub";
import {
  gatewayOffer,
  type Handed,
  promptOf,
  type RecipientPorts,
  sessionFor,
  topicOf,
  webhookAnswer,
  webhookRequest,
} from "../hooks";
import { SECOND } from "../kernel/clock";
import { readVar } from "../kernel/config";
import { sha256Hex } from "../kernel/crypto";
import { guardedFetch } from "../kernel/net-guard";
import type { Runtime } from "../kernel/runtime";
import { MAX_QUESTION } from "../reason";
import type { ConsumerEnv } from "./env";

/** How messages of hooks reach their recipients from this Worker (wake-slo §1.3, issue item 3). */

const WEBHOOK_TIMEOUT = 10 * SECOND;
/** A session does one thing at a time. */
const BUSY_FOR = 15 * SECOND;

const later = (error: string, after?: number): Handed => ({
  ok: false,
  retry: true,
  error,
  ...(after === undefined ? {} : { after }),
});

export function recipientPorts(env: ConsumerEnv, runtime: Runtime): RecipientPorts {
  const { clock } = runtime;
  return {
    /** A run of the built-in agent in the session of the hook and its sender's session; its answer stays there. */
    builtin: async (_to, handover) => {
      const prompt = promptOf(handover, MAX_QUESTION);
      const submit = (id: string) =>
        sessionObject(env.SESSION, id).submit(`hook:${handover.hook.id}`, id, prompt, handover.row.wake_id, null);
      const named = await sessionFor(handover);
      let id = named;
      let taken = await submit(id);
      if (taken.state === "not_found") {
        // Somebody made a session of that name: it is theirs, and this message gets one of its own.
        id = `${named}-${(await sha256Hex(handover.row.wake_id)).slice(0, 24)}`;
        taken = await submit(id);
      }
      if (taken.state === "accepted") return { ok: true, result: `session ${id}` };
      return later(`session ${id}: ${taken.state}`, BUSY_FOR * clock.rate);
    },
    agent: async ({ address }, handover) =>
      tellAgent(env.AGENT, {
        address,
        session_id: await sessionFor(handover),
        input_id: handover.row.wake_id,
        prompt: promptOf(handover),
      }),
    webhook: async ({ url }, handover) => {
      const secret = readVar(runtime.vars, "REVEILLE_WEBHOOK_SECRET");
      // An unsigned message would be one that anybody could have sent.
      if (secret === "") return later("REVEILLE_WEBHOOK_SECRET is not set, so the message can't be signed");
      const { body, headers } = await webhookRequest(handover, secret, clock.wall());
      const signal = AbortSignal.timeout(WEBHOOK_TIMEOUT);
      const { response } = await guardedFetch(
        new URL(url),
        { method: "POST", headers, body, signal, follow: false },
        runtime.config.allowPrivate,
      );
      await response.body?.cancel();
      return webhookAnswer(response.status, response.headers, clock.wall());
    },
    mail: async ({ workspace, agent_id }, handover) => {
      const { wake_id, hook_id } = handover.row;
      const said = await workspaceObject(env.WORKSPACE, workspace).mail(workspace, {
        ...{ wake_id, hook_id, to_agent_id: agent_id },
        topic: topicOf(handover),
        body: promptOf(handover),
      });
      if (said.ok) return { ok: true, result: `mail ${String(said.value["message_id"])}` };
      return { ok: false, retry: true, error: `${said.code}: ${said.message}` };
    },
    gateway: async (to, handover) => {
      const offered = await gatewayObject(env.GATEWAY, to).offer(gatewayOffer(to, handover, clock.wall()));
      if (offered.outcome === "refused") return later(`the gateway refused it: ${offered.why}`);
      return { ok: true, result: `gateway ${offered.outcome} ${offered.seq}` };
    },
  };
}
