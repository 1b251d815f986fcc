import type { AgentShape } from "./directory.store";
import type { KnownTurn, RunEnd } from "./record";

/** Where a client's line leads. Kept with its socket, so a wake-up knows all of it. */
export interface Bound {
  agent: string;
  /** The object that holds the agent's socket. */
  agent_line: string;
  /** The routing id: the session id towards the agent. */
  rid: string;
  /** The address that signed, or null. */
  owner: string | null;
  shape: AgentShape;
  /** `connecting`: an ERROR refuses the CONNECT. `unproven`: nothing was signed, so nothing is kept. */
  stage: "connecting" | "onboarding" | "connected" | "unproven";
  /** PINGs of the agent itself that wait for the client's PONG. */
  pings: number;
  /** What its CONNECT named as the last it has seen. */
  cursor: string | null;
}

/** A frame of the agent on its way to a client. */
export interface Down {
  text: string;
  type: string;
  /** A stream event's own id. */
  id: string | null;
  input_id: string | null;
  /** How it ends the session's run, or null. */
  end: RunEnd | null;
  /** The agent says that nothing runs, and what it knows; null: it says no such thing. */
  idle: KnownTurn[] | null;
}

/** Frames for a client's line, numbered within one life of their sender. */
export interface Delivery {
  agent: string;
  agent_line: string;
  rid: string;
  /** The object that is asked: a client's line, or the session's home when nobody listens. */
  line: string;
  /** The relay is this agent's host. */
  legacy: boolean;
  epoch: string;
  from: number;
  frames: Down[];
}

/** Frames for an agent's line, session id already in them. */
export interface Up {
  rid: string;
  line: string;
  epoch: string;
  from: number;
  frames: string[];
}

/**
 * What is new in a delivery, by the numbers heard so far: a repeat is dropped, and a gap is told, never passed over. After a
 * restart of the receiver nothing is known, and the first number is taken as it is.
 */
export function freshOf<T>(
  heard: { epoch: string; n: number } | null,
  delivery: { epoch: string; from: number; frames: T[] },
): { gap: boolean; frames: T[]; heard: { epoch: string; n: number } } {
  const known = heard?.epoch === delivery.epoch ? heard.n : delivery.from - 1;
  const last = delivery.from + delivery.frames.length - 1;
  return {
    gap: delivery.from > known + 1,
    frames: delivery.frames.slice(Math.max(0, known + 1 - delivery.from)),
    heard: { epoch: delivery.epoch, n: Math.max(known, last) },
  };
}
