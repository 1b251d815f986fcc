import { SECOND } from "../kernel/clock";
import { chatItems } from "./conversation";
import { HomeClients } from "./home.clients";
import { HomeCore } from "./home.core";
import { HomeRuns } from "./home.runs";
import { createHome } from "./home.store";
import type { Ended, HomePorts } from "./home.types";
import type { LentLine } from "./lending";
import { logAfter, logEnds, logTail, readCursor } from "./log";
import { isOver, recordOf, type SessionRecord } from "./results";
import { dueAt, keptRuns, liveRun, MAX_ATTEMPTS, newestRun, noteSent, runById } from "./run";
import { eventView, type SessionView, stateView, TAIL } from "./view";

/** Wall ms after which lines that missed frames, or an index row, are tried again. */
const BEHIND_RETRY = 5 * SECOND;

/** The home of one session: its single writer. Every decision is made and written in one synchronous step. */
export class Home {
  readonly clients: HomeClients;
  readonly runs: HomeRuns;
  private readonly core: HomeCore;

  constructor(ports: HomePorts) {
    this.core = new HomeCore(ports);
    this.clients = new HomeClients(this.core);
    this.runs = new HomeRuns(this.core);
  }

  /** Creates the tables that are missing. For an object's constructor. */
  static create(sql: SqlStorage): void {
    createHome(sql);
  }

  owner(): string | null {
    return this.core.owner();
  }

  /** Waits up to `ms` for a run's end. Null: it goes on. */
  async waitFor(runId: string, ms: number): Promise<Ended | null> {
    const ended = this.#endOf(runId);
    if (ended) return ended;
    let wake: () => void = () => {};
    const over = new Promise<void>((resolve) => {
      wake = resolve;
    });
    const waiters = this.core.waiting.get(runId) ?? new Set();
    this.core.waiting.set(runId, waiters.add(wake));
    const timer = setTimeout(wake, ms);
    await over;
    clearTimeout(timer);
    waiters.delete(wake);
    return this.#endOf(runId);
  }

  #endOf(runId: string): Ended | null {
    const { sql } = this.core.p;
    const run = runById(sql, runId);
    if (!run) return { status: "failed", result: null, duration_ms: 0, session: {}, chat_items: [] };
    if (!isOver(run.status)) return null;
    const session = this.core.read()?.session ?? {};
    return {
      status: run.status,
      result: run.result,
      duration_ms: (run.finished ?? run.created) - run.created,
      session,
      chat_items: chatItems(session),
    };
  }

  /** The newest run's record and its owner; null: unknown or expired. */
  record(): { owner: string | null; record: SessionRecord } | null {
    const { sql, clock, ttlMs } = this.core.p;
    this.core.expire();
    const state = this.core.read();
    const run = newestRun(sql);
    const record = state && run ? recordOf(state.id, run, clock.now(), ttlMs) : null;
    return record && state ? { owner: state.owner, record } : null;
  }

  /** What SESSION_STATUS may say to this address. */
  statusFor(from: string): "running" | "connected" | "not_found" {
    this.core.expire();
    const state = this.core.read();
    if (state?.owner !== from) return "not_found";
    return liveRun(this.core.p.sql) ? "running" : "connected";
  }

  /** As an operator sees it, but for lines held here; null: unknown or expired. */
  view(): Omit<SessionView, "agent" | "built_in" | "lines"> | null {
    const { sql, ttlMs } = this.core.p;
    this.core.expire();
    const shown = stateView(this.core.read(), keptRuns(sql), ttlMs);
    return shown && { ...shown, log: { ...logEnds(sql), tail: logTail(sql, TAIL).map(eventView) } };
  }

  get lent(): LentLine[] {
    return this.core.lending.lines;
  }

  /** An operator ends the run that goes on; its executor finds out at its next word. Null: none does. */
  async cancel(error: string): Promise<string | null> {
    const run = liveRun(this.core.p.sql);
    if (!run) return null;
    await this.core.end(run, { status: "interrupted", result: null, error });
    return run.id;
  }

  /** An operator has results, log and conversation forgotten. False: a run goes on. */
  drop(): boolean {
    if (liveRun(this.core.p.sql)) return false;
    this.core.drop();
    return true;
  }

  /** Logged frames after a cursor, for SSE and pollers. */
  eventsAfter(
    cursor: string | number | null,
    limit: number,
  ): { frames: { seq: number; text: string }[]; gap: boolean; after: number; live: boolean; owner: string | null } {
    const { sql } = this.core.p;
    this.core.expire();
    const at = readCursor(sql, cursor);
    const frames = this.core.outs(logAfter(sql, at.after, limit)).map(({ seq, text }) => ({ seq: seq ?? 0, text }));
    return {
      frames,
      gap: at.gap,
      after: frames.at(-1)?.seq ?? at.after,
      live: liveRun(sql) !== null,
      owner: this.owner(),
    };
  }

  /** Waits up to `ms` for something to be logged after `seq`. */
  async newsAfter(seq: number, ms: number): Promise<void> {
    if (logEnds(this.core.p.sql).last > seq) return;
    await new Promise<void>((resolve) => {
      const waiters = this.core.waiting.get("") ?? new Set();
      this.core.waiting.set("", waiters.add(resolve));
      setTimeout(() => {
        waiters.delete(resolve);
        resolve();
      }, ms);
    });
  }

  // Time.

  /** The next moment something is due here, wall ms, or null. */
  dueAt(): number | null {
    const { sql, clock } = this.core.p;
    const run = liveRun(sql);
    const dues: number[] = [];
    const due = run ? dueAt(run, clock.rate) : this.core.expiresAt();
    if (due !== null) dues.push(clock.toWall(due));
    if (this.core.lending.behind || this.core.read()?.unindexed) dues.push(clock.wall() + BEHIND_RETRY);
    return dues.length > 0 ? Math.min(...dues) : null;
  }

  /** Nothing is kept and nobody is connected from elsewhere. */
  get empty(): boolean {
    return this.core.read() === null && this.core.lending.count === 0 && newestRun(this.core.p.sql) === null;
  }

  /** Does what is due. Safe to call at any time. */
  async onAlarm(): Promise<void> {
    const { sql, clock } = this.core.p;
    this.core.expire();
    const run = liveRun(sql);
    const due = run ? dueAt(run, clock.rate) : null;
    if (run && due !== null && due <= clock.now()) {
      if (run.attempts >= MAX_ATTEMPTS) await this.runs.giveUp(run.id, "interrupted");
      else {
        noteSent(sql, run, clock.now());
        await this.core.send(run.id);
      }
    }
    if (this.core.lending.behind) await this.core.lending.catchUp();
    if (this.core.read()?.unindexed) await this.core.index();
  }
}
