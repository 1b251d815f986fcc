import {
  type CapabilityPort,
  capabilityPort,
  chatSessionName,
  EgressState,
  type Memory,
  rehost,
  runOp,
  type StoredEvent,
  tellBroken,
} from "../src/gateway";
import { describe } from "../src/kernel/errors";
import type { Runtime } from "../src/kernel/runtime";
import type { MessageEvent, OpResult, PlatformName } from "../src/platform";
import type { ObjectEnv } from "./env";
import type { OpAsk } from "./gateway.ops";
import type { Line } from "./gateway.sockets";
import { sessionObject } from "./session.stub";

export { opsOf } from "../src/gateway";

/** Ties the connector's egress to its object: memory, bindings, and the vaults of its chats. */

/** One for all objects of an isolate: a platform's limit and a broken token concern them alike. */
const state = new EgressState();

export const egressOf = (env: ObjectEnv, runtime: Runtime, memory: Memory) => {
  const own = new EgressState(state.holds);
  return async ({ line, platform, botId, action, deadline }: OpAsk): Promise<OpResult> =>
    runOp(
      {
        db: env.DB,
        runtime,
        bucket: env.MEDIA,
        who: line,
        origin: line.origin,
        deadline,
        state: own,
        spoken: (p, chat) => memory.chat(p, chat),
        partsOf: (p, chat, id) => memory.partsOf(p, chat, id),
        rememberSent: (p, chat, ids, nonce) => memory.sent(p, chat, ids, runtime.clock.now(), nonce),
        capability: vaultsOf(env, runtime, memory, line),
      },
      { platform, botId, action },
    );
};

/** The vaults of an instance's chats: a value never comes out of them. */
const vaultsOf = (env: ObjectEnv, runtime: Runtime, memory: Memory, { tenant, instance }: Line): CapabilityPort =>
  capabilityPort({
    to: { tenant, instance },
    vaulted: (p, chat) => memory.isVaulted(p, chat),
    vault: (at) => sessionObject(env.SESSION, chatSessionName(at, at.platform as PlatformName, at.chat_id)),
    sent: (p, chat, ids) => memory.sent(p, chat, ids, runtime.clock.now()),
    failed: (error) => runtime.log("error", "gateway.vault_failed", { error: describe(error) }),
  });

/** The event with its files re-hosted for the gateway of this line. */
export const prepareMedia = (
  env: ObjectEnv,
  runtime: Runtime,
  stored: StoredEvent,
  { origin }: Line,
): Promise<MessageEvent> =>
  rehost(
    {
      runtime,
      bucket: env.MEDIA,
      holds: state.holds,
      origin,
      broken: (platform, app, why) => void tellBroken({ db: env.DB, runtime, state }, platform, app, why),
    },
    stored,
  );
