import {
  JSON_LIMITS,
  type JsonLimits,
  type JsonObject,
  JsonTextError,
  memberOf,
  parseLossless,
} from "../kernel/lossless-json";

/** One frame or body as it came: the text, its parsed shape, and nothing re-serialised. */
export interface WireFrame {
  raw: string;
  root: JsonObject;
  /** The frame's `type`, or "" when it has none (an HTTP body). */
  type: string;
}

export interface Refusal {
  ok: false;
  status: 400 | 401 | 403;
  error: string;
}

/** The HTTP status that goes with an error text (connectonion.md (a), status mapping). */
export function statusOf(error: string): 400 | 401 | 403 {
  if (error.startsWith("unauthorized")) return 401;
  return error.startsWith("forbidden") ? 403 : 400;
}

export const refuse = (error: string): Refusal => ({ ok: false, status: statusOf(error), error });

/** Reads one frame: a JSON object within the limits, no key twice at any level. */
export function readFrame(raw: string, limits: JsonLimits = JSON_LIMITS): { ok: true; frame: WireFrame } | Refusal {
  try {
    const root = parseLossless(raw, limits);
    if (root.kind !== "object") return refuse("Invalid JSON: a frame is one object");
    const type = memberOf(root, "type");
    return { ok: true, frame: { raw, root, type: type?.kind === "string" ? type.value : "" } };
  } catch (error) {
    if (!(error instanceof JsonTextError)) throw error;
    return refuse(wordsFor(error, limits));
  }
}

function wordsFor(error: JsonTextError, limits: JsonLimits): string {
  switch (error.fault) {
    case "syntax":
      return "Invalid JSON";
    case "duplicate_key":
      return `Invalid JSON: ${error.message}`;
    case "too_large":
      return `frame too large: at most ${limits.maxBytes} bytes`;
    case "too_deep":
      return `frame too deep: at most ${limits.maxDepth} levels`;
    case "too_many_values":
      return `frame too complex: at most ${limits.maxNodes} values`;
  }
}

/** The frame as a plain value. Only for reading: what is forwarded or verified is the text. */
export function frameValue(frame: WireFrame): Record<string, unknown> {
  return JSON.parse(frame.raw) as Record<string, unknown>;
}

/**
 * The frame's text with `session_id` at the top level, for an agent that routes by it (connectonion.md (d)). Every other
 * byte stays, so a signature over the payload still holds. An id already there is replaced in place.
 */
export function withSessionId(frame: WireFrame, sessionId: string): string {
  const id = JSON.stringify(sessionId);
  const { raw, root } = frame;
  const present = memberOf(root, "session_id");
  if (present) return raw.slice(0, present.start) + id + raw.slice(present.end);
  const head = raw.slice(0, root.start + 1);
  return `${head}"session_id":${id}${root.members.length > 0 ? "," : ""}${raw.slice(root.start + 1)}`;
}

/** `withSessionId` of a text. Throws when the text is no frame: read it with `readFrame` first if it comes from outside. */
export function insertSessionId(raw: string, sessionId: string): string {
  const read = readFrame(raw);
  if (!read.ok) throw new Error(`A session id goes into a frame only: ${read.error}`);
  return withSessionId(read.frame, sessionId);
}
