/** What a host sends, as far as this client reads it; a field nobody knows stays. */
export interface Frame {
  type: string;
  /** Its number in the session's event log. */
  seq?: number;
  [field: string]: unknown;
}

interface Event {
  seq?: number;
  id: string;
  /** Epoch seconds. */
  ts: number;
  session_id?: string | null;
}

/** What a run does while it goes on, in order. */
export type StreamEvent = Event &
  (
    | { type: "thinking"; content?: string | null; kind?: string | null }
    | { type: "assistant"; content: string }
    | { type: "llm_call"; model: string; status: string }
    | { type: "llm_result"; status: "success" | "error"; duration_ms?: number | null }
    | { type: "tool_call"; tool_id: string; name: string; args?: unknown }
    | {
        type: "tool_result";
        tool_id: string;
        name: string;
        status: "success" | "error";
        result?: unknown;
        timing_ms?: number | null;
      }
    | { type: "tool_blocked"; tool: string; reason: string; message: string }
    | { type: "agent_image"; image: string }
    /** Waits for `answer()`. */
    | {
        type: "ask_user";
        text: string;
        question?: string;
        options?: unknown[] | null;
        multi_select?: boolean | null;
      }
    /** Waits for `approve()` or `reject()`. */
    | { type: "approval_needed"; tool: string; arguments?: unknown; description?: string | null }
    | { type: "plan_review"; plan_content: string }
    | { type: "ulw_turns_reached"; turns_used: number; max_turns: number }
    | { type: "intent" | "eval" | "compact" | "files_received" }
  );

/** Events between the cursor and `first_seq` are gone: what is shown so far is not the whole run. */
export interface GapEvent {
  type: "gap";
  session_id: string | null;
  last_msg_id: string | number | null;
  first_seq: number | null;
}

export type RunEvent = StreamEvent | GapEvent;

/** The end of a run. */
export interface Answer {
  text: string;
  /** The result as it came; an agent may answer with a structure. */
  result: unknown;
  session_id: string;
  input_id: string | null;
  duration_ms: number | null;
}

/** What the session tells its listeners. */
export interface SessionEvents {
  connected: { session_id: string; status: string };
  /** A lost line is opened again in `in_ms`. */
  reconnecting: { attempt: number; in_ms: number; reason: string };
  /** No line can be opened: the result is asked for in `in_ms`. */
  polling: { attempt: number; of: number; in_ms: number };
  gap: GapEvent;
  /** Any event of any run of this session, also of runs that another client started. */
  event: StreamEvent;
  /** The host refused a command that is no INPUT; the run goes on. */
  refused: { message: string };
}

const CONTROL: ReadonlySet<string> = new Set([
  "CONNECTED",
  "PING",
  "PONG",
  "OUTPUT",
  "ERROR",
  "AGENT_PROFILE",
  "SESSION_STATUS",
  "ONBOARD_REQUIRED",
  "ONBOARD_SUCCESS",
  "ADMIN_RESULT",
  "RUNTIME_INPUT_ACK",
  "EXEC_RESULT",
  "mode_changed",
  "session_sync",
  "DASHBOARD_SNAPSHOT",
]);

/** The frame as an event of a run, or null when it says something else. Types of newer hosts pass. */
export function eventOf(frame: Frame): RunEvent | null {
  return CONTROL.has(frame.type) ? null : (frame as unknown as RunEvent);
}

/** The words of an ERROR: hosts say `message`, relays `error`. */
export const wordsOf = (frame: Frame): string =>
  typeof frame["message"] === "string" ? frame["message"] : String(frame["error"] ?? "unknown error");

/** The relay says this and closes the line: the agent is away, and may come back with the run. */
export const AGENT_GONE = "agent disconnected";

export const textOf = (result: unknown): string =>
  typeof result === "string" ? result : result === undefined || result === null ? "" : JSON.stringify(result);
