import type { Frame } from "./events";

/** Where a client stands in a session's event log: a frame's number; from hosts that number nothing, an event's id. */
export type Seq = number | string | null;

const QUESTIONS: ReadonlySet<string> = new Set(["approval_needed", "ask_user", "plan_review", "ulw_turns_reached"]);

/** What a frame does to the cursor. `again`: it was seen before and says nothing new. */
export interface Moved {
  seq: Seq;
  again: boolean;
}

/**
 * Moves the cursor over one frame, in the order they come. Hosts say frames again when they are not sure that they arrived;
 * a number that is not above the cursor is such a repeat. A gap signal without a number of its own means that the log does not
 * reach back to the cursor: what comes after it counts from there, also when the log has begun anew.
 */
export function move(at: Seq, frame: Frame): Moved {
  const { seq } = frame;
  if (typeof seq === "number") {
    // A question that still waits is asked again under its old number.
    if (typeof at === "number" && seq <= at) return { seq: at, again: !QUESTIONS.has(frame.type) };
    return { seq, again: false };
  }
  if (frame.type === "gap") {
    const first = frame["first_seq"];
    return { seq: typeof first === "number" ? first - 1 : null, again: false };
  }
  // A log with numbers is followed by them alone: an id could stand for two frames.
  if (typeof at === "number" || typeof frame["id"] !== "string" || typeof frame["ts"] !== "number")
    return { seq: at, again: false };
  return { seq: frame["id"], again: false };
}

/** The cursor as CONNECT and the event stream take it. */
export const lastMsgId = (seq: Seq): string | undefined => (seq === null ? undefined : String(seq));
