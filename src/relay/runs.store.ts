import { type RelayRecord, type RelayRun, type RunEnd, recordOf, runExpires, type Turn } from "./record";

/** What a run needs to be known when its INPUT is accepted. */
export type RunStart = Pick<
  RelayRun,
  "session_id" | "agent" | "agent_line" | "owner" | "input_id" | "prompt" | "asked"
>;

/** Answers of joined inputs together, characters: a stored value holds 2 MB. */
const MAX_RESULT = 900_000;

/** How much of a history is kept: turns, and characters in all. */
const MAX_TURNS = 100;
const MAX_HISTORY = 400_000;

const RUN = "run";
const HISTORY = "history";

/** The run as it is stored. Whether its index row in D1 lags behind is part of it: each key is a row to pay for. */
type Kept = RelayRun & { unindexed: boolean };

/** The newest run of one session, in its home's storage. Times are Reveille ms. */
export class RelayRuns {
  constructor(
    readonly kv: SyncKvStorage,
    readonly ttlMs: number,
  ) {}

  /** The run under way as this instance, its one writer, last wrote it: every frame of the agent asks for it. */
  #live: Kept | null = null;

  #read(): Kept | null {
    return this.#live ?? this.kv.get<Kept>(RUN) ?? null;
  }

  #write(run: RelayRun, unindexed: boolean): void {
    const kept: Kept = { ...run, unindexed };
    this.kv.put(RUN, kept);
    this.#live = run.status === "running" ? kept : null;
  }

  stored(): RelayRun | null {
    const kept = this.#read();
    if (!kept) return null;
    const { unindexed: _own, ...run } = kept;
    return run;
  }

  /**
   * An INPUT was accepted. While a run goes on it is an addition to it (`joins` when the agent answers each by itself); a
   * later one overwrites the record.
   */
  begin(start: RunStart, joins: boolean, now: number): void {
    const known = this.stored();
    const fresh = known?.status !== "running" || known.agent_line !== start.agent_line;
    if (fresh)
      this.#save({
        ...start,
        ...{ id: crypto.randomUUID(), waiting: 1, status: "running", created: now },
        ...{ result: null, error: null, finished: null },
      });
    if (joins && start.prompt !== null)
      this.#remember([...this.history(), { id: crypto.randomUUID(), prompt: start.prompt, answer: null }]);
    if (!fresh && joins)
      this.#write({ ...known, input_id: start.input_id, waiting: known.waiting + 1 }, this.unindexed() !== null);
  }

  /**
   * An answer, as the run's own agent gives it; null when there was none to end. An answer that comes after we had given the
   * run up, or after an ERROR about something else, is still the answer; apart from that the first end stands.
   */
  finish(ask: { agent: string; session_id: string; end: RunEnd }, now: number): RelayRun | null {
    const run = this.stored();
    if (!run || run.agent !== ask.agent || run.session_id !== ask.session_id) return null;
    if (run.status !== "running" && (run.status === "done" || run.cancelled || ask.end.status !== "done")) return null;
    const { status, error } = ask.end;
    const result = [run.result, ask.end.result].filter((x) => x !== null).join("\n\n");
    const whole = status === "done" ? (result.length <= MAX_RESULT ? result : ask.end.result) : null;
    const waiting = status === "done" ? run.waiting - 1 : 0;
    // One answer of several is not the end, nor does it take an interruption back.
    const next: RelayRun =
      waiting > 0
        ? { ...run, waiting, result: whole }
        : { ...run, waiting: 0, status, result: whole, error, finished: now };
    this.#save(next);
    // A host keeps its own history: nothing is read for it.
    if (run.prompt !== null) this.#answered(ask.end.result, run.waiting);
    return next;
  }

  /** Turns with a 0.6.5 agent, oldest first; empty for a host, which keeps its own. */
  history(): Turn[] {
    return this.kv.get<Turn[]>(HISTORY) ?? [];
  }

  /** Answers come in the order of the questions. Those before the last `waiting` are of runs that were never answered. */
  #answered(answer: string | null, waiting: number): void {
    const turns = this.history();
    const open = turns.at(-Math.max(1, waiting));
    if (open?.answer !== null || answer === null) return;
    open.answer = answer;
    this.#remember(turns);
  }

  #remember(turns: Turn[]): void {
    const kept = turns.slice(-MAX_TURNS);
    const size = (): number => kept.reduce((n, t) => n + t.prompt.length + (t.answer?.length ?? 0), 0);
    while (kept.length > 1 && size() > MAX_HISTORY) kept.shift();
    this.kv.put(HISTORY, kept);
  }

  /** The agent's line has ended: whatever ran over it is interrupted. */
  interrupt(agentLine: string, now: number): boolean {
    const run = this.stored();
    if (run?.status !== "running" || run.agent_line !== agentLine) return false;
    this.#save({ ...run, status: "interrupted", error: "agent disconnected", finished: now });
    return true;
  }

  /** An operator ends the run that goes on. Null: none does. */
  cancel(error: string, now: number): RelayRun | null {
    const run = this.stored();
    if (run?.status !== "running") return null;
    const next: RelayRun = { ...run, status: "interrupted", cancelled: true, error, finished: now };
    this.#save(next);
    return next;
  }

  /** Forgets what is kept, whatever its age. */
  drop(): void {
    for (const key of [RUN, HISTORY]) this.kv.delete(key);
    this.#live = null;
  }

  /** The record for `session_id`, or null when there is none (any more). */
  read(sessionId: string, now: number): RelayRecord | null {
    const run = this.stored();
    return run?.session_id === sessionId ? recordOf(run, now, this.ttlMs) : null;
  }

  /** Forgets what has expired. Returns whether nothing is kept. */
  forget(now: number): boolean {
    const run = this.stored();
    if (!run) return true;
    const expires = runExpires(run, this.ttlMs);
    if (expires === null || expires > now) return false;
    this.drop();
    return true;
  }

  /** The run whose index row lags behind, or null. */
  unindexed(): RelayRun | null {
    return this.#read()?.unindexed ? this.stored() : null;
  }

  /** The row is written, unless the run has moved on meanwhile. */
  indexed(run: RelayRun): void {
    const now = this.stored();
    if (now?.id === run.id && now.status === run.status) this.#write(now, false);
  }

  #save(run: RelayRun): void {
    this.#write(run, true);
  }
}
