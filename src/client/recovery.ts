import type { ClientErrorCode } from "./errors";

/** How patient a client is. Times in ms. */
export interface Patience {
  /** Tries to open a lost line again, before polling. 8. */
  reconnectAttempts: number;
  /** Ask for the result by HTTP where no line can be opened. true. */
  enablePolling: boolean;
  /** 10,000. */
  pollIntervalMs: number;
  /** 30. */
  maxPollAttempts: number;
  /** How long a run is waited for; it goes on beyond that. 600,000. */
  timeoutMs: number;
}

export const PATIENCE: Patience = {
  reconnectAttempts: 8,
  enablePolling: true,
  pollIntervalMs: 10_000,
  maxPollAttempts: 30,
  timeoutMs: 600_000,
};

/** What has been tried since the line was lost. */
export interface Tried {
  reconnects: number;
  polls: number;
}

export const UNTRIED: Tried = { reconnects: 0, polls: 0 };

/** `lost`: no line. `alive`: the host answered a poll and the run goes on. `silent`: the poll failed. */
export type Outcome = "lost" | "alive" | "silent";

export type Act =
  | { do: "reconnect"; attempt: number; waitMs: number }
  | { do: "poll"; attempt: number; waitMs: number }
  | { do: "give_up"; code: ClientErrorCode };

const FIRST_WAIT = 250;
const LONGEST_WAIT = 10_000;

/** Wait before the nth try, ms: twice as long each time, and never the same for all clients. `random` in [0, 1). */
export const backoff = (attempt: number, random: number): number =>
  Math.round(Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** (attempt - 1)) * (0.5 + random / 2));

/**
 * What to do next for a run whose line is lost. First the line is opened again, with growing waits; then the host is polled. A
 * poll that is answered shows a host that lives, so the line is tried once more at once: a run that asks something can be
 * answered only there.
 */
export function nextAct(tried: Tried, outcome: Outcome, p: Patience, random: number): { tried: Tried; act: Act } {
  const reconnect = (waitMs: number): { tried: Tried; act: Act } => {
    const attempt = tried.reconnects + 1;
    return { tried: { ...tried, reconnects: attempt }, act: { do: "reconnect", attempt, waitMs } };
  };
  if (outcome === "alive") return reconnect(0);
  if (tried.polls === 0 && tried.reconnects < p.reconnectAttempts)
    return reconnect(backoff(tried.reconnects + 1, random));
  if (!p.enablePolling) return { tried, act: { do: "give_up", code: "unreachable" } };
  if (tried.polls >= p.maxPollAttempts) return { tried, act: { do: "give_up", code: "polls_exhausted" } };
  const attempt = tried.polls + 1;
  return { tried: { ...tried, polls: attempt }, act: { do: "poll", attempt, waitMs: p.pollIntervalMs } };
}
