import { type Buffer, countDead, type GatewayView, listenerOf, type Scene } from "../src/gateway";
import type { Kept } from "./gateway.kept";
import type { Sockets } from "./gateway.sockets";

/** The five states of an instance, and what waits in it. */
export function viewOf(buffer: Buffer, scene: Scene, sockets: Sockets, kept: Kept, now: number): GatewayView {
  const newest = listenerOf(scene);
  const open = sockets.open();
  const revoked = kept.dropped !== null && !kept.dropped.over;
  const greeted = scene.listeners.length > 0;
  const state = revoked ? "revoked" : newest ? "on" : scene.flip ? (greeted ? "going idle" : "asleep") : "dead";
  return {
    state,
    sockets: open.map(([, line]) => ({
      gateway_id: line.gateway_id,
      opened_at: line.opened_at,
      platforms: line.listener?.platforms ?? [],
      newest: newest?.id === line.id,
      in_flight: line.listener?.sent?.seqs.length ?? 0,
    })),
    waiting: buffer.rows.length,
    received: buffer.rows.filter((r) => r.held).length,
    dead: countDead(buffer),
    oldest_at: buffer.rows[0]?.at ?? null,
    last_seen: greeted ? now : kept.seen,
    poked_at: kept.poke?.at ?? null,
    why: revoked ? kept.dropped!.why : null,
  };
}
