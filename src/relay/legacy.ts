import type { RelayRun, Turn } from "./record";

/**
 * 0.6.5 agents understand `INPUT{input_id, prompt}` and answer `OUTPUT{input_id, result}`, nothing else, one at a time
 * (connectonion.md (d)). The relay is their host: it answers CONNECT, and these are the frames it makes.
 */

/** The agent's input id carries the routing id, so an answer finds its way without a table. */
export const wireInputId = (rid: string, id: string): string => `${rid}:${id}`;

/** The routing id in an answer's input id, or null when it is not one of ours. */
export function ridOf(inputId: string | null): string | null {
  const at = inputId?.lastIndexOf(":") ?? -1;
  return inputId && at > 0 ? inputId.slice(0, at) : null;
}

export const legacyInput = (inputId: string, prompt: string): string =>
  JSON.stringify({ type: "INPUT", input_id: inputId, prompt });

/** CONNECTED for a session of a 0.6.5 agent. What came while the client was away goes with it, as the whole history. */
export function legacyConnected(rid: string, run: RelayRun | null, history: Turn[]): string {
  const status = run === null ? "new" : run.status === "running" ? "running" : "connected";
  const items = history.flatMap(({ id, prompt, answer }) => [
    { id: `${id}-user`, type: "user", content: prompt },
    ...(answer === null ? [] : [{ id: `${id}-agent`, type: "agent", content: answer }]),
  ]);
  return JSON.stringify({
    type: "CONNECTED",
    session_id: rid,
    status,
    ...(items.length > 0 ? { server_newer: true, session: { session_id: rid }, chat_items: items } : {}),
  });
}

/** OUTPUT as newer and older clients read it: `session` replaces theirs, `input_id` is what the oldest waits for. */
export const legacyOutput = (rid: string, inputId: string | null, result: string, durationMs: number): string =>
  JSON.stringify({
    type: "OUTPUT",
    ...(inputId === null ? {} : { input_id: inputId }),
    result,
    session_id: rid,
    duration_ms: durationMs,
    session: { session_id: rid },
  });
