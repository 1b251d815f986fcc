import { foldAddress, memberOf, type Refusal, readFrame, type WireFrame } from "../session";
import { tooLarge } from "./limits";

/** What the relay must know of a client's frame; everything else passes unread. */
export interface ClientFrame {
  frame: WireFrame;
  type: string;
  /** The agent it is for, folded, or null. */
  to: string | null;
  /** The session it names: its own `session_id`, else `session.session_id`. */
  names: string | null;
  signed: boolean;
  input_id: string | null;
  /** Carries something to do: the empty INPUT of 0.1.4 after onboarding does not (connectonion.md (c)). */
  prompted: boolean;
  /** The prompt, the signed one when there is one. */
  prompt: string | null;
  /** A well-formed session id inside `session`, for SESSION_STATUS. */
  asks_for: string | null;
  /** Where a CONNECT stands in the event log: a number of it, or an event's id. */
  last_msg_id: string | null;
}

const text = (frame: WireFrame["root"], key: string): string | null => {
  const node = memberOf(frame, key);
  return node?.kind === "string" ? node.value : null;
};

const hasFiles = (root: WireFrame["root"]): boolean =>
  ["images", "files"].some((key) => {
    const node = memberOf(root, key);
    return node?.kind === "array" && node.items.length > 0;
  });

function cursorOf(node: ReturnType<typeof memberOf>): string | null {
  if (node?.kind === "number") return node.lexeme;
  return node?.kind === "string" && node.value !== "" && node.value.length <= 256 ? node.value : null;
}

/** Any printable text up to 200 characters: older clients mint their own ids. */
export const sessionIdOk = (id: string | null): id is string => id !== null && /^[\x21-\x7e]{1,200}$/.test(id);

/** Reads a client's frame. Its text is kept: what is forwarded is never printed again. */
export function peekClient(raw: string): { ok: true; value: ClientFrame } | Refusal {
  const read = readFrame(raw);
  if (!read.ok) return read;
  const { root } = read.frame;
  const session = memberOf(root, "session");
  const inner = session?.kind === "object" ? text(session, "session_id") : null;
  const own = text(root, "session_id");
  const payload = memberOf(root, "payload");
  const payloadTo = payload?.kind === "object" ? text(payload, "to") : null;
  return {
    ok: true,
    value: {
      frame: read.frame,
      type: read.frame.type,
      to: foldAddress(text(root, "to") ?? payloadTo),
      names: sessionIdOk(own) ? own : sessionIdOk(inner) ? inner : null,
      signed: payload?.kind === "object" && memberOf(root, "signature") !== undefined,
      input_id: text(root, "input_id"),
      prompted: [root, payload].some((x) => x?.kind === "object" && (text(x, "prompt") ?? "") !== "") || hasFiles(root),
      prompt: (payload?.kind === "object" ? text(payload, "prompt") : null) ?? text(root, "prompt"),
      asks_for: sessionIdOk(inner) ? inner : null,
      last_msg_id: cursorOf(memberOf(root, "last_msg_id")),
    },
  };
}

/** What the relay must know of an agent's frame. */
export interface AgentFrame {
  type: string;
  session_id: string | null;
  input_id: string | null;
  /** A stream event's own id. */
  id: string | null;
  /** The value itself, for results; read-only. */
  value: Record<string, unknown>;
}

/** Of a frame that is too large only where it belongs: parsed, it could fill the memory of its object. */
function peekLarge(raw: string): AgentFrame {
  const text = (key: string): string | null =>
    new RegExp(`"${key}"\\s*:\\s*"([\\x21\\x23-\\x5b\\x5d-\\x7e]{1,256})"`).exec(raw)?.[1] ?? null;
  return { type: "", session_id: text("session_id"), input_id: text("input_id"), id: null, value: {} };
}

/** Reads an agent's frame; null when it is no JSON object. It is trusted as far as its own clients go. */
export function peekAgent(raw: string): AgentFrame | null {
  if (tooLarge(raw)) return peekLarge(raw);
  let value: unknown;
  try {
    value = JSON.parse(raw);
  } catch {
    return null;
  }
  if (value === null || typeof value !== "object" || Array.isArray(value)) return null;
  const v = value as Record<string, unknown>;
  const str = (key: string): string | null => (typeof v[key] === "string" ? (v[key] as string) : null);
  return { type: str("type") ?? "", session_id: str("session_id"), input_id: str("input_id"), id: str("id"), value: v };
}
