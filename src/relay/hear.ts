import { legacyOutput } from "./legacy";
import type { Bound, Down } from "./line";
import { isKept, isQuestion, numbered, type RelayLog } from "./log.store";
import { idleEnd, type KnownTurn, type RelayRun, type RunEnd } from "./record";
import type { RelayRuns } from "./runs.store";

/** Frames of an agent at the home of their session: what is kept of them, before any client hears them. Pure but for stores. */

export interface HearAsk {
  agent: string;
  session_id: string;
  /** The relay is this agent's host: it knows INPUT and OUTPUT only, and the relay words the end of a run. */
  legacy: boolean;
  /** Frames before these were lost on the way: the log says so. */
  lost: boolean;
  frames: Pick<Down, "text" | "type" | "id" | "end" | "idle">[];
}

/** What became of one frame. */
export interface Heard {
  /** Its number in the log; null: not kept. */
  seq: number | null;
  /** What the client is told instead; null: nothing. Left out: the frame itself. */
  text?: string | null;
}

/** Everything of a run's own agent goes to the log, and its end to the record, in one step. Null: no run of this agent here. */
export function hear(runs: RelayRuns, log: RelayLog, ask: HearAsk, now: number): Heard[] | null {
  const run = runs.stored();
  if (!run || run.agent !== ask.agent || run.session_id !== ask.session_id) return null;
  if (ask.lost) log.append(run.id, gapEntry(run, now));
  return ask.frames.map((frame): Heard => {
    const { type, end } = frame;
    if (frame.idle) settle(runs, log, ask, frame.idle, now);
    if (!isKept(type, end !== null)) return { seq: null };
    if (end === null) return { seq: log.append(run.id, frame).seq };
    const ended = runs.finish({ agent: ask.agent, session_id: ask.session_id, end }, now);
    const entry = { type, id: frame.id ?? `${run.id}:end` };
    if (!ask.legacy) {
      // An end that ended nothing is said and not kept, unless it is the one that is kept already.
      const text = frame.text;
      return { seq: ended || log.has({ ...entry, text }) ? log.append(run.id, { ...entry, text }).seq : null };
    }
    if (ended === null || ended.waiting > 0) return { seq: null, text: null };
    const text = ended.status === "done" ? legacyEnd(ended) : frame.text;
    return { seq: log.append(run.id, { ...entry, text }).seq, text };
  });
}

/** The agent was asked, and runs nothing: a run that went on by our record is over, and maybe has its answer. */
function settle(runs: RelayRuns, log: RelayLog, ask: HearAsk, turns: KnownTurn[], now: number): void {
  const run = runs.stored()!;
  if (run.status === "done") return;
  const end = idleEnd(run, turns);
  const ended = runs.finish({ agent: ask.agent, session_id: ask.session_id, end }, now);
  if (!ended) return;
  if (end.status === "done") log.append(run.id, { type: "OUTPUT", id: `${run.id}:end`, text: legacyEnd(ended) });
  else log.append(run.id, endEntry(ended, end, now));
}

const legacyEnd = (run: RelayRun): string =>
  legacyOutput(run.session_id, run.input_id, run.result ?? "", (run.finished ?? run.created) - run.created);

function gapEntry(run: RelayRun, now: number) {
  const id = crypto.randomUUID();
  const frame = { type: "gap", id, ts: now / 1000, session_id: run.session_id, last_msg_id: null, first_seq: null };
  return { type: "gap", id, text: JSON.stringify(frame) };
}

/** What a client's line has been told of the log: the frames up to `after` on a line before, those up to `mark` on this one. */
export interface Told {
  after: number;
  mark: number;
}

/**
 * What to write to the client for a kept frame, or null. An agent says a run's events again to a client that comes back; the
 * relay has told them from its log, so each is told once. A question that came before the cursor is asked again.
 */
export function toTell(told: Told, type: string, text: string, seq: number | null): string | null {
  if (seq === null) return text;
  if (seq <= told.mark && !(isQuestion(type) && seq <= told.after)) return null;
  told.mark = Math.max(told.mark, seq);
  return numbered(text, seq);
}

/** Frames as their run's record may take them: before its CONNECT was accepted, an ERROR refuses that and ends no run. */
export function accountable(stage: Bound["stage"], frames: Down[]): Down[] {
  let at = stage;
  return frames.map((frame) => {
    at = stageAfter(at, frame.type);
    const refusal = frame.type === "ERROR" && at !== "connected";
    return refusal && frame.end ? { ...frame, end: null } : frame;
  });
}

export function stageAfter(stage: Bound["stage"], type: string): Bound["stage"] {
  if (type === "CONNECTED") return "connected";
  return type === "ONBOARD_REQUIRED" ? "onboarding" : stage;
}

/** The end of a run that its agent will not end, as the log has it. */
export function endEntry(run: RelayRun, end: RunEnd, now: number) {
  const error = end.error ?? "interrupted";
  const id = `${run.id}:end`;
  const frame = { type: "ERROR", id, ts: now / 1000, error, message: error, session_id: run.session_id };
  return { type: "ERROR", id, text: JSON.stringify(frame) };
}
