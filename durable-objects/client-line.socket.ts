import type { Bound } from "../src/relay";
import type { LineState } from "../src/session";

/** What a relay client's socket is known by; it outlives the object's memory. */

/** Kept with the socket of a client that has not named our own agent; one that has is a `LineState` of the session host. */
export interface Attached {
  name: string;
  opened: number;
  /** Wall ms of its last frame, at most HEARD_EVERY old. */
  heard: number;
  ip: string;
  bound: Bound | null;
}

/** What stands with the socket, either kind: one read where both are asked for. */
export const attachmentOf = (ws: WebSocket): Attached | LineState | null =>
  ws.deserializeAttachment() as Attached | LineState | null;

export const attachedOf = (ws: WebSocket): Attached | null => {
  const at = attachmentOf(ws);
  return at && "bound" in at ? at : null;
};

/** The line as the session host knows it, or null: this client has not asked for our own agent. */
export const hostLineOf = (ws: WebSocket): LineState | null => {
  const at = attachmentOf(ws);
  return at && "own" in at ? at : null;
};
