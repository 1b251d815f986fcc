import type { SessionState } from "./merge";

/** The conversation that client and host carry: `{session_id, iteration, updated, mode, messages}` (`connectonion.md` (c)). */

interface Message {
  role: "user" | "assistant";
  content: string;
}

/** Kept of a conversation; older messages are dropped from the front. */
const MAX_MESSAGES = 100;
/** A client's copy larger than this (as JSON) is not taken over: it goes back to it with each OUTPUT. */
export const MAX_SESSION_TEXT = 256 * 1024;

const messagesOf = (session: SessionState): unknown[] =>
  Array.isArray(session["messages"]) ? session["messages"] : [];

/** As many of the newest messages as can be stored, sent and brought back by the client; the last one always. */
function fitting(session: SessionState, messages: unknown[]): unknown[] {
  const sizes = messages.map((m) => JSON.stringify(m).length + 1);
  let size = JSON.stringify({ ...session, messages: [] }).length;
  let first = messages.length;
  while (first > 0 && (first === messages.length || size + sizes[first - 1]! <= MAX_SESSION_TEXT))
    size += sizes[--first]!;
  return messages.slice(first);
}

/** The conversation one round later. `at`: Reveille ms. */
export function nextRound(
  session: SessionState,
  id: string,
  mode: string,
  prompts: string[],
  result: string,
  at: number,
): SessionState {
  const iteration = session["iteration"];
  const said: Message[] = [
    ...prompts.map((content): Message => ({ role: "user", content })),
    { role: "assistant", content: result },
  ];
  const next = {
    ...session,
    session_id: id,
    mode,
    iteration: (Number.isSafeInteger(iteration) ? (iteration as number) : 0) + 1,
    updated: at / 1000,
  };
  return { ...next, messages: fitting(next, [...messagesOf(session), ...said].slice(-MAX_MESSAGES)) };
}

/** What a client shows of a conversation: its own prompts and our answers, with ids that stay the same. */
export function chatItems(session: SessionState): { id: string; type: "user" | "agent"; content: string }[] {
  const id = String(session["session_id"] ?? "");
  return messagesOf(session).flatMap((m, i) => {
    const { role, content } = (m ?? {}) as Partial<Record<string, unknown>>;
    if (typeof content !== "string" || (role !== "user" && role !== "assistant")) return [];
    return [{ id: `${id}:${i}`, type: role === "user" ? ("user" as const) : ("agent" as const), content }];
  });
}

/** A client's copy of a session, when it is one and of a size we carry. */
export function clientSession(value: unknown): SessionState | null {
  if (value === null || typeof value !== "object" || Array.isArray(value)) return null;
  return JSON.stringify(value).length <= MAX_SESSION_TEXT ? (value as SessionState) : null;
}

/** More than the id and the mode: something was said. */
export const hasContent = (session: SessionState): boolean =>
  Object.keys(session).some((k) => k !== "session_id" && k !== "mode");
