import type { Out } from "./lending";
import type { RunRow } from "./results";

/** Frames a session's home says, besides those of executors (`connectonion.md` (c)). */

export const FAILED = "Unable to run agent";

/** Hosts say `message`, relays `error`; clients read one of them. */
export const both = (text: string): { message: string; error: string } => ({ message: text, error: text });

/** What a command may be told on its own line besides the frames of the session. */
export const SESSION_NOT_FOUND = { type: "ERROR", ...both("Session not found"), code: -32002 };

/** Modes the stock clients offer. */
export const MODES = ["safe", "plan", "accept_edits", "ulw"];

/** A frame that is said once and not kept. */
export const control = (frame: object): Out => ({ seq: null, text: JSON.stringify(frame) });
export const texts = (outs: Out[]): string[] => outs.map((o) => o.text).filter((t) => t !== "");

/** How a run ended, for every line of its session. */
export function endFrame(run: RunRow, at: number): { id: string } & Record<string, unknown> {
  const base = { id: `${run.id}:end`, ts: at / 1000, ...(run.input_id === null ? {} : { input_id: run.input_id }) };
  if (run.status === "done")
    return { type: "OUTPUT", ...base, result: run.result ?? "", duration_ms: (run.finished ?? at) - run.created };
  const message = run.error ?? FAILED;
  return { type: "ERROR", ...base, ...both(message), code: -32603, retryable: false };
}
