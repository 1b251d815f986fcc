import { gatewayObject } from "../../durable-objects/gateway.stub";
import { type Destination, gateEvent, sessionKeyAliases } from "../gateway";
import { describe } from "../kernel/errors";
import { makeRedactor } from "../kernel/redact";
import { directMessageOf, type Inbound, type Reading } from "../platform";
import { askFromSlack } from "./asks";
import type { IngestDeps } from "./ingest";
import { cleaned } from "./ingest.clean";
import { countIngest } from "./ingest.count";
import { sayInChat } from "./ingest.say";
import { chatVault } from "./ingest.vault";

/** What became of one event. */
export interface Fate {
  /** An instance, the built-in agent or the edge itself took it. */
  heard: boolean;
  /** Words for the person who wrote. */
  say: string | null;
  /** Says them in the chat it came from. */
  send(): Promise<void>;
}

const fate = (heard: boolean): Fate => ({ heard, say: null, send: async () => {} });

/** Drops after which the operator's DM may still be a question to the built-in agent. */
const NOBODYS = new Set(["unknown_tenant", "unlinked", "principal"]);

/** Gates one event and stores it. Returns when it is durable, its credential sealed. @throws what the stores throw */
export async function accept(deps: IngestDeps, reading: Reading, raw: Inbound, now: number): Promise<Fate> {
  const { env, rt } = deps;
  const inbound = cleaned(rt, reading, raw);
  const drop = (outcome: string): Fate => {
    countIngest(env.DB, rt, inbound.platform, outcome, deps.later);
    rt.log("info", "event.dropped", { platform: inbound.platform, app: inbound.app, outcome, key: inbound.d1 });
    return fate(false);
  };
  const gated = await gateEvent({ db: env.DB, runtime: rt }, inbound);
  if ("consumed" in gated)
    // Consumed before, or unsaid: nobody would end a deferred reply.
    return {
      heard: gated.consumed !== null,
      say: gated.consumed,
      send: () => sayInChat(deps, inbound, gated.consumed ?? ""),
    };
  if ("drop" in gated) {
    const question = NOBODYS.has(gated.drop) ? directMessageOf(inbound) : null;
    if (!question) return drop(`dropped: ${gated.drop}`);
    await askFromSlack(env, rt, question);
    return fate(true);
  }
  const { to } = gated;
  const { platform, app, d1, d2, event, media, album, passthrough, capabilities } = inbound;
  const gateway = gatewayObject(env.GATEWAY, to, deps.hint);
  const offered = await gateway.offer({
    to,
    d1,
    d2,
    stored: { platform, app, event, media, album, passthrough, received_at: now },
    held: capabilities.length > 0,
  });
  if (offered.outcome === "refused") return drop(`dropped: ${offered.why}`);
  if (offered.outcome === "duplicate") {
    countIngest(env.DB, rt, platform, "duplicate", deps.later);
    rt.log("info", "event.duplicate", { platform, app, key: d1, state: offered.state });
  }
  // A repeat that finds the event held goes on where the first call was cut off.
  if (capabilities.length > 0 && offered.state === "received") {
    await sealAll(deps, to, inbound);
    await gateway.settle(offered.seq, true);
  }
  return fate(true);
}

/** Bound to its chat before the event can be sent on (hermes-relay §7.1). */
async function sealAll(deps: IngestDeps, to: Destination, inbound: Inbound): Promise<void> {
  const { source } = inbound.event;
  const vault = chatVault(deps, to, inbound.platform, source.chat_id);
  const aliases = sessionKeyAliases(source);
  for (const { kind, value, expires_at, uses, meta } of inbound.capabilities)
    await vault
      .seal({
        ...to,
        platform: inbound.platform,
        chat_id: source.chat_id,
        app: inbound.app,
        kind,
        value,
        expires_at,
        uses,
        meta,
        aliases,
        event: inbound.d1,
      })
      .catch((error) => {
        // Whatever failed there: its words are logged.
        throw new Error(makeRedactor([value], true).text(`not sealed: ${describe(error)}`));
      });
}
