import type { Runtime } from "../kernel/runtime";
import type { Inbound } from "../platform";
import { askOf, readFacts } from "./facts.store";
import { type DropReason, judge } from "./gate";
import { consumeLink, linkCodeOf } from "./link";
import type { Destination } from "./types";

/**
 * What the gate made of one event. `consumed`: the edge is done with it; a text is to be said in the DM it came from.
 */
export type Gated = { to: Destination } | { consumed: string | null } | { drop: DropReason };

/**
 * The gate of hermes-relay §9: `/link` first, then the pure rules over cached facts. Call it after verification;
 * dedupe of what goes on is the Gateway object's.
 *
 * @throws what D1 throws: the platform is then asked to repeat.
 */
export async function gateEvent(deps: { db: D1Database; runtime: Runtime }, inbound: Inbound): Promise<Gated> {
  const code = linkCodeOf(inbound);
  if (code !== null) return { consumed: (await consumeLink(deps, inbound, code)).reply };
  if (inbound.own) return { drop: "own" };
  if (!inbound.event.source.user_id) return { drop: "no_author" };
  return judge(await readFacts(deps.db, askOf(inbound), deps.runtime.clock.wall()), inbound);
}
