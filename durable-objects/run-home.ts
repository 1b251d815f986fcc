import { DAY, SECOND } from "../src/kernel/clock";
import { readVar } from "../src/kernel/config";
import { describe } from "../src/kernel/errors";
import { type Runtime, runtimeOf } from "../src/kernel/runtime";
import {
  PING_EVERY,
  type RelayRecord,
  type RelayRun,
  RelayRuns,
  RUN_LOST_AFTER,
  type RunEnd,
  type RunStart,
  type Turn,
} from "../src/relay";
import { writeIndex } from "../src/session";
import { agentLine } from "./agent-line.do";
import type { ObjectEnv } from "./env";

/** The index row may lag this much (wall ms), so a burst of runs is one row write. */
const INDEX_WITHIN = 5_000;

/**
 * The home of one relayed session inside a ClientLine object: its newest run, the record for polling, the row of the pages,
 * and the object's one alarm, which it shares with the PING of the line.
 */
export class RunHome {
  constructor(
    readonly storage: DurableObjectStorage,
    readonly env: ObjectEnv,
    readonly connected: () => boolean,
  ) {}

  get #runtime(): Runtime {
    return runtimeOf(this.env, "relay");
  }

  get #runs(): RelayRuns {
    const seconds = Number(readVar(this.#runtime.vars, "REVEILLE_SESSION_RESULT_TTL_S"));
    return new RelayRuns(this.storage.kv, (Number.isFinite(seconds) && seconds > 0 ? seconds : DAY / SECOND) * SECOND);
  }

  async begin(start: RunStart, joins: boolean): Promise<void> {
    this.#runs.begin(start, joins, this.#runtime.clock.now());
    await this.arm();
  }

  async finish(ask: { agent: string; session_id: string; end: RunEnd }): Promise<RelayRun | null> {
    const run = this.#runs.finish(ask, this.#runtime.clock.now());
    if (run) await this.arm();
    return run;
  }

  async interrupt(line: string): Promise<void> {
    if (this.#runs.interrupt(line, this.#runtime.clock.now())) await this.arm();
  }

  async run(): Promise<RelayRun | null> {
    await this.#settle();
    return this.#runs.stored();
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
      if (run && this.#runs.forget(clock.now())) await this.#index(run, null);
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
    const pending = await this.storage.getAlarm();
    if (due === null) {
      if (pending !== null) await this.storage.deleteAlarm();
    } else if (again || pending === null || pending > due) await this.storage.setAlarm(due);
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
