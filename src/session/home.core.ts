import { describe } from "../kernel/errors";
import { chatItems, nextRound } from "./conversation";
import { control, endFrame, texts } from "./home.frames";
import { forgetHome, type HomeState, readHome, saveHome } from "./home.store";
import type { HomePorts } from "./home.types";
import { Lending, type Out } from "./lending";
import { appendLog, type LoggedFrame, logAfter } from "./log";
import { expiresAt, type RunRow } from "./results";
import { endRun, newestRun, type Outcome, RUN_LEASE } from "./run";

const isOutput = (text: string): boolean => text.startsWith('{"type":"OUTPUT"');

/** What both sides of a session's home share: its state, its lines, its index row, the end of a run. */
export class HomeCore {
  readonly p: HomePorts;
  readonly lending: Lending;
  /** Who waits for a run's end, by its id; under "" who waits for any event. */
  readonly waiting = new Map<string, Set<() => void>>();

  constructor(ports: HomePorts) {
    this.p = ports;
    this.lending = new Lending({
      sql: ports.sql,
      log: ports.log,
      open: ports.acceptor,
      replay: (after) => this.outs(logAfter(ports.sql, after)),
    });
  }

  /** The parsed state; only this instance writes it. */
  #cached: HomeState | null | undefined;

  read(): HomeState | null {
    if (this.#cached === undefined) this.#cached = readHome(this.p.sql);
    return this.#cached;
  }

  save(state: HomeState): void {
    saveHome(this.p.sql, state);
    this.#cached = state;
  }

  forget(): void {
    forgetHome(this.p.sql);
    this.#cached = null;
  }

  async started(run: RunRow): Promise<void> {
    await Promise.all([this.p.arm(), this.send(run.id), this.index()]);
  }

  async end(run: RunRow, outcome: Outcome): Promise<void> {
    await this.ended(endRun(this.p.sql, run, outcome, this.p.clock.now()));
  }

  /** The run's row is over; in the same commit go the conversation and the frame that says so. */
  async ended(run: RunRow): Promise<void> {
    const { sql, clock } = this.p;
    const at = clock.now();
    const state = this.read();
    if (state && run.status === "done") {
      const prompts = JSON.parse(run.prompts) as string[];
      const session = nextRound(state.session, state.id, state.mode, prompts, run.result ?? "", at);
      this.save({ ...state, session });
    }
    const logged = appendLog(sql, run.id, [endFrame(run, at)]);
    for (const wake of this.waiting.get(run.id) ?? []) wake();
    this.waiting.delete(run.id);
    await Promise.all([this.tell(logged), this.index(), this.p.arm()]);
  }

  owner(): string | null {
    return this.read()?.owner ?? null;
  }

  /** When all of it is to be deleted, Reveille ms: after its newest run, or a session nobody ran after it was made. */
  expiresAt(): number | null {
    const { sql, ttlMs } = this.p;
    const run = newestRun(sql);
    if (run) return expiresAt(run, ttlMs);
    const state = this.read();
    return state === null ? null : state.created + ttlMs;
  }

  /** Deletes what has expired: results, log and conversation go together. */
  expire(): void {
    const at = this.expiresAt();
    if (at !== null && at <= this.p.clock.now()) this.drop();
  }

  /** Forgets results, log and conversation, and the index row; who is connected stays. */
  drop(): void {
    const { sql, clock } = this.p;
    const state = this.read();
    const ran = newestRun(sql) !== null;
    this.forget();
    if (state && ran)
      this.p
        .index({ id: state.id, owner: state.owner, status: null, updated: clock.now() })
        .catch((error) => this.p.log("warn", "session.unindexed", { session: state.id, error: describe(error) }));
  }

  get lease(): number {
    return RUN_LEASE * this.p.clock.rate;
  }

  async send(runId: string): Promise<void> {
    const id = this.read()?.id;
    if (!id) return;
    try {
      await this.p.enqueue(id, runId);
    } catch (error) {
      // The run is stored; the alarm sends it again.
      this.p.log("error", "session.send_failed", { session: id, run: runId, error: describe(error) });
    }
  }

  async index(): Promise<void> {
    const { sql, clock, log } = this.p;
    const state = this.read();
    const run = newestRun(sql);
    if (!state || !run) return;
    const status = run.status === "queued" ? "running" : run.status;
    try {
      await this.p.index({ id: state.id, owner: state.owner, status, updated: clock.now() });
      const now = this.read();
      if (now?.unindexed) this.save({ ...now, unindexed: false });
    } catch (error) {
      log("warn", "session.unindexed", { session: state.id, error: describe(error) });
      const now = this.read();
      if (now && !now.unindexed) this.save({ ...now, unindexed: true });
      await this.p.arm();
    }
  }

  /** Logged frames to every line of the owner. Resolves when lent lines have them or could not be reached. */
  async tell(logged: LoggedFrame[]): Promise<void> {
    const owner = this.owner();
    if (owner !== null) await this.broadcast(owner, this.outs(logged));
    for (const wake of this.waiting.get("") ?? []) wake();
    this.waiting.delete("");
    if (this.lending.behind) await this.p.arm();
  }

  async broadcast(from: string, outs: Out[]): Promise<void> {
    this.p.ownLines(from, texts(outs));
    await Promise.all(this.lending.linesOf(from).map((line) => this.lending.push(line, outs)));
  }

  say(c: { line: string; acceptor: string | null }, frame: object): void {
    const out = control(frame);
    if (c.acceptor === null) this.p.ownLine(c.line, [out.text]);
    else void this.lending.push(c.line, [out]);
  }

  /** Logged frames as they are sent. The conversation is as it is now: only the last of them carries it. */
  outs(logged: LoggedFrame[]): Out[] {
    const last = logged.findLast((f) => isOutput(f.text));
    return logged.map((f) => ({ seq: f.seq, text: this.dress(f.text, f.seq, f === last) }));
  }

  /** A logged frame as it is sent: with its number, the session's id, and for OUTPUT (`whole`) the conversation. */
  dress(text: string, seq: number | null, whole = true): string {
    const state = this.read();
    const head = JSON.stringify({ ...(seq === null ? {} : { seq }), session_id: state?.id ?? "" });
    if (!isOutput(text)) return `${head.slice(0, -1)},${text.slice(1)}`;
    if (!whole) {
      const more = JSON.stringify({ session: { session_id: state?.id ?? "" } });
      return `${head.slice(0, -1)},${more.slice(1, -1)},${text.slice(1)}`;
    }
    const session = state?.session ?? {};
    return JSON.stringify({
      ...(JSON.parse(text) as object),
      ...(JSON.parse(head) as object),
      session,
      chat_items: chatItems(session),
    });
  }

  fresh(id: string, at: number): HomeState {
    return { id, owner: null, mode: "safe", session: { session_id: id }, granted: {}, created: at, unindexed: false };
  }
}
