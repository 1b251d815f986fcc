/** Why something failed; `retryable` errors may go away by themselves. */
export type ClientErrorCode =
  /** This runtime lacks something; the message names it. */
  | "no_crypto"
  | "no_websocket"
  | "bad_option"
  /** Nobody answers, or the line was lost and could not be opened again. */
  | "unreachable"
  | "agent_offline"
  | "rate_limited"
  /** The host said no. */
  | "unauthorized"
  | "forbidden"
  | "onboarding_required"
  | "refused"
  /** A run of this session is under way: `resume()` it. */
  | "busy"
  | "run_failed"
  | "run_interrupted"
  /** The host knows no such run (any more): it never arrived, or its result has expired. */
  | "run_unknown"
  /** Given up here; the run goes on, and `resume()` finds it. */
  | "timeout"
  | "polls_exhausted"
  /** A newer connection of the same key has this session. */
  | "displaced"
  /** The session is not ours (any more); a fresh one has begun. */
  | "session_lost"
  | "closed";

const RETRYABLE: ReadonlySet<ClientErrorCode> = new Set([
  "unreachable",
  "agent_offline",
  "rate_limited",
  "busy",
  "timeout",
  "polls_exhausted",
]);

/** Every error of this client. */
export class ClientError extends Error {
  readonly retryable: boolean;

  /** `closeCode`: of the WebSocket, when that was what failed. */
  constructor(
    readonly code: ClientErrorCode,
    message: string,
    readonly closeCode: number | null = null,
  ) {
    super(message);
    this.name = "ClientError";
    this.retryable = RETRYABLE.has(code);
  }
}

const BY_CLOSE: Record<number, ClientErrorCode> = {
  1003: "refused",
  1009: "refused",
  4004: "refused",
  4400: "refused",
  4401: "unauthorized",
  4403: "forbidden",
  4404: "agent_offline",
  4410: "displaced",
  4429: "rate_limited",
};

/** The error of a line that ended: by its close code, else by what the host said before. Unknown codes may go away. */
export function lossError(closeCode: number, said: string): ClientError {
  const known = BY_CLOSE[closeCode];
  if (known) return new ClientError(known, said || `closed with ${closeCode}`, closeCode);
  const byWords = errorOf(said);
  if (byWords) return new ClientError(byWords, said, closeCode);
  return new ClientError("unreachable", said || `connection lost (${closeCode})`, closeCode);
}

/** What the words of an ERROR mean, or null. */
export function errorOf(said: string): ClientErrorCode | null {
  if (said.startsWith("unauthorized")) return "unauthorized";
  if (said.startsWith("forbidden")) return "forbidden";
  if (said.startsWith("rate limited")) return "rate_limited";
  return said === "agent offline" ? "agent_offline" : null;
}
