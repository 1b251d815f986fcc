import { DAY, SECOND } from "../src/kernel/clock";
import { readVar } from "../src/kernel/config";
import { describe } from "../src/kernel/errors";
import { type Runtime, runtimeOf } from "../src/kernel/runtime";
import {
  endEntry,
  type HearAsk,
  type Heard,
  hear,
  type Page,
  PING_EVERY,
  RelayLog,
  type RelayRecord,
  type RelayRun,
  RelayRuns,
  type RelayView,
  RUN_LOST_AFTER,
  type RunStart,
  type Told,
  type Turn,
  viewOf,
} from "../src/relay";
import { type SessionView, writeIndex } from "../src/session";
import { agentLine } from "./agent-line.do";
import type { ObjectEnv } from "./env";

/** The index row may lag this much (wall ms), so a burst of runs is one row write. */
const INDEX_WITHIN = 5_000;

/** What a client that comes back is told first: frames it lacks, and from where its line goes on. */
export interface Replayed extends Told {
  /** Frames before the first of these are gone. */
  gap: boolean;
  frames: Page["frames"];
}

/** Whose frames these are: a session may expire and become another's while somebody reads. */
type OwnedPage = Page & { owner: string | null };

/**
 * The home of one relayed session inside a ClientLine object: its newest run with its event log, the record for polling, the
 * row of the pages, and the object's one alarm, which it shares with the PING of the line.
 */
export class RunHome {
  readonly #log: RelayLog;
  /** Who waits for something to be logged. */
  readonly #waiting = new Set<() => void>();

  constructor(
    readonly storage: DurableObjectStorage,
    readonly env: ObjectEnv,
    readonly connected: () => boolean,
  ) {
    this.#log = new RelayLog(storage.sql);
  }

  get #runtime(): Runtime {
    return runtimeOf(this.env, "relay");
  }

  #made: RelayRuns | null = null;

  get #runs(): RelayRuns {
    if (this.#made) return this.#made;
    const seconds = Number(readVar(this.#runtime.vars, "REVEILLE_SESSION_RESULT_TTL_S"));
    const ttlMs = (Number.isFinite(seconds) && seconds > 0 ? seconds : DAY / SECOND) * SECOND;
    this.#made = new RelayRuns(this.storage.kv, ttlMs);
    return this.#made;
  }

  /** When the alarm is set to ring, or null: it is not. Unknown after a wake. */
  #alarm: number | null | undefined;

  /** A moment that has passed says nothing: the alarm may have rung, or the platform may have given it up. */
  async #pending(now: number): Promise<number | null> {
    if (this.#alarm === undefined || (this.#alarm !== null && this.#alarm <= now))
      this.#alarm = await this.storage.getAlarm();
    return this.#alarm;
  }

  async #set(at: number | null): Promise<void> {
    this.#alarm = undefined;
    if (at === null) await this.storage.deleteAlarm();
    else await this.storage.setAlarm(at);
    this.#alarm = at;
  }

  async begin(start: RunStart, joins: boolean): Promise<void> {
    this.#runs.begin(start, joins, this.#runtime.clock.now());
    await this.arm();
  }

  /** Frames of the run's agent: into the log, and its end into the record, in one commit. Null: there is no such run here. */
  async hear(ask: HearAsk): Promise<Heard[] | null> {
    const heard = hear(this.#runs, this.#log, ask, this.#runtime.clock.now());
    if (heard?.some((h) => h.seq !== null)) this.#wake();
    if (heard && ask.frames.some((f) => f.end !== null)) await this.arm();
    return heard;
  }

  /** What a client that comes back lacks of the run under way. Only its owner is told; a run that is over is in CONNECTED. */
  async replay(owner: string | null, cursor: string | null): Promise<Replayed> {
    const run = await this.run();
    const mark = this.#log.last();
    if (run?.status !== "running" || owner === null || run.owner !== owner)
      return { gap: false, frames: [], after: mark, mark };
    const { frames, gap } = this.#log.after(cursor, undefined, run.id);
    return { gap, frames, after: (frames[0]?.seq ?? mark + 1) - 1, mark };
  }

  /** Logged frames after a cursor, for SSE; waits up to `ms` for the first. */
  async eventsAfter(cursor: string | number | null, limit: number, ms: number): Promise<OwnedPage> {
    await this.#settle();
    const now = this.#events(cursor, limit);
    if (now.frames.length > 0 || now.gap || ms <= 0) return now;
    await new Promise<void>((resolve) => {
      const wake = (): void => {
        clearTimeout(timer);
        this.#waiting.delete(wake);
        resolve();
      };
      const timer = setTimeout(wake, ms);
      this.#waiting.add(wake);
    });
    return this.#events(cursor, limit);
  }

  #events(cursor: string | number | null, limit: number): OwnedPage {
    const run = this.#runs.stored();
    const kept = run !== null && this.#runs.read(run.session_id, this.#runtime.clock.now()) !== null;
    if (!kept) return { frames: [], gap: false, after: Number(cursor) || 0, owner: null };
    return { ...this.#log.after(cursor, limit), owner: run.owner };
  }

  #wake(): void {
    for (const wake of [...this.#waiting]) wake();
  }

  async interrupt(line: string): Promise<void> {
    const now = this.#runtime.clock.now();
    if (!this.#runs.interrupt(line, now)) return;
    const run = this.#runs.stored()!;
    this.#log.append(run.id, endEntry(run, { status: "interrupted", result: null, error: run.error }, now));
    this.#wake();
    await this.arm();
  }

  async run(): Promise<RelayRun | null> {
    await this.#settle();
    return this.#runs.stored();
  }

  /** As an operator sees it; null: unknown or expired. */
  async view(): Promise<(RelayView & Pick<SessionView, "log"> & { agent_line: string }) | null> {
    await this.#settle();
    const run = this.#runs.stored();
    const shown = run && viewOf(run, this.#runtime.clock.now(), this.#runs.ttlMs);
    return shown && { ...shown, log: this.#log.view(), agent_line: run.agent_line };
  }

  /** An operator ends the run that goes on, whatever its agent still says. Null: none does. */
  async cancel(error: string): Promise<RelayRun | null> {
    const now = this.#runtime.clock.now();
    const run = this.#runs.cancel(error, now);
    if (!run) return null;
    this.#log.append(run.id, endEntry(run, { status: "interrupted", result: null, error }, now));
    this.#wake();
    await this.arm();
    return run;
  }

  /** An operator has result and log forgotten. False: a run goes on. */
  async drop(): Promise<boolean> {
    const run = this.#runs.stored();
    if (run?.status === "running") return false;
    this.#runs.drop();
    this.#log.clear();
    if (run) await this.#index(run, null);
    return true;
  }

  busy(agentLine: string): boolean {
    const run = this.#runs.stored();
    return run?.status === "running" && run.agent_line === agentLine;
  }

  history(): Turn[] {
    return this.#runs.history();
  }

  async read(sessionId: string): Promise<{ record: RelayRecord; owner: string | null } | null> {
    await this.#settle();
    const record = this.#runs.read(sessionId, this.#runtime.clock.now());
    return record && { record, owner: this.#runs.stored()?.owner ?? null };
  }

  ownerOf(): { owner: string | null } | null {
    const run = this.#runs.stored();
    return run && { owner: run.owner };
  }

  /** A run whose agent's line is gone can't go on: after a crash nobody was left to say so. */
  async #settle(): Promise<void> {
    const run = this.#runs.stored();
    if (run?.status !== "running") return;
    if (!(await agentLine(this.env.AGENT_LINE, run.agent_line).alive())) await this.interrupt(run.agent_line);
  }

  /** The alarm's work: the index row, lost runs, and forgetting. Sets the next alarm. */
  async tend(): Promise<void> {
    const { clock, log } = this.#runtime;
    const run = this.#runs.stored();
    try {
      if (run?.status === "running" && clock.wall() >= this.#lostAt(run)) await this.#settle();
      const behind = this.#runs.unindexed();
      if (behind) {
        await this.#index(behind, behind.status);
        this.#runs.indexed(behind);
      }
      if (run && this.#runs.forget(clock.now())) {
        this.#log.clear();
        await this.#index(run, null);
      }
    } catch (error) {
      log("error", "relay.tend_failed", { session: run?.session_id, error: describe(error) });
    }
    await this.arm(true);
  }

  #index(run: RelayRun, status: RelayRun["status"] | null): Promise<void> {
    const { session_id: id, owner, agent, finished, created } = run;
    return writeIndex(this.env.DB, { id, owner, status, updated: finished ?? created }, agent);
  }

  #lostAt(run: RelayRun): number {
    return this.#runtime.clock.toWall(run.created) + RUN_LOST_AFTER;
  }

  /** Sets the alarm: PING while a socket is open, else what the run needs. `again` when the one before has fired. */
  async arm(again = false): Promise<void> {
    const now = Date.now();
    const due = this.connected() ? now + PING_EVERY : this.#due(now);
    const pending = await this.#pending(now);
    if (due === null) {
      if (pending !== null) await this.#set(null);
    } else if (again || pending === null || pending > due) await this.#set(due);
  }

  #due(now: number): number | null {
    const { clock } = this.#runtime;
    const run = this.#runs.stored();
    if (!run) return null;
    if (this.#runs.unindexed()) return now + INDEX_WITHIN;
    if (run.status === "running") return Math.max(now + PING_EVERY, this.#lostAt(run));
    return Math.max(now, clock.toWall(run.finished ?? run.created) + clock.span(this.#runs.ttlMs));
  }
}
