import type { HomeCore } from "./home.core";
import { FAILED } from "./home.frames";
import type { StreamFrame } from "./home.types";
import { appendLog } from "./log";
import { isOver } from "./results";
import {
  type Claimed,
  claimRun,
  finishRun,
  holdsRun,
  type Outcome,
  parkRun,
  type Question,
  releaseRun,
  runById,
} from "./run";

/** A session's home as executors see it (queue `runs`): one at a time holds a run, tells its events, ends it once. */
export class HomeRuns {
  constructor(private readonly core: HomeCore) {}

  /** Takes a run for an executor. */
  async claim(runId: string, token: string): Promise<Claimed> {
    const { sql, clock } = this.core.p;
    const claimed = claimRun(sql, runId, token, clock.now(), this.core.lease);
    if (claimed.state === "given_up") await this.giveUp(runId, "interrupted");
    else if (claimed.state === "over") await Promise.all([this.core.lending.catchUp(), this.core.index()]);
    else await this.core.p.arm();
    return claimed;
  }

  /** Stream events of a run, one commit for all of them. False: another executor has it, or it is over; stop. */
  async events(runId: string, token: string, events: StreamFrame[]): Promise<boolean> {
    const { sql, clock } = this.core.p;
    if (!holdsRun(sql, runId, token, clock.now(), this.core.lease)) return false;
    await this.core.tell(appendLog(sql, runId, events));
    return true;
  }

  /**
   * Asks the client. The answer, when it has been given (the executor comes to the same question again after its restart);
   * else `parked`: the run is given up until the answer comes, and is queued again then.
   */
  async ask(runId: string, token: string, question: Question): Promise<{ answer: unknown } | { parked: boolean }> {
    const { sql } = this.core.p;
    const run = runById(sql, runId);
    const known = run ? (JSON.parse(run.answers) as Record<string, unknown>)[question.key] : undefined;
    if (known !== undefined) return { answer: known };
    const tool = question.frame.type === "approval_needed" ? String(question.frame["tool"]) : null;
    const granted = tool === null ? undefined : this.core.read()?.granted[tool];
    if (granted !== undefined) return { answer: granted };
    if (!parkRun(sql, runId, token, question)) return { parked: false };
    const logged = appendLog(sql, runId, [question.frame]);
    await Promise.all([this.core.tell(logged), this.core.index(), this.core.p.arm()]);
    return { parked: true };
  }

  /** Ends a run once; `more`: prompts that joined while the executor answered `seen` of them. */
  async finish(
    runId: string,
    token: string,
    outcome: Outcome,
    seen: number,
  ): Promise<"ended" | "lost" | { more: string[] }> {
    const { sql, clock } = this.core.p;
    const run = runById(sql, runId);
    const finished = finishRun(sql, runId, token, outcome, seen, clock.now());
    if (finished.state === "lost") return "lost";
    if (finished.state === "more") return { more: finished.prompts };
    if (finished.state === "again") await Promise.all([this.core.lending.catchUp(), this.core.index()]);
    else if (run) await this.core.ended(finished.run);
    return "ended";
  }

  /** The executor failed and will not come back; the next claim need not wait for its lease. */
  release(runId: string, token: string): void {
    releaseRun(this.core.p.sql, runId, token);
  }

  /** Every try of its queue message failed, or too many executors died over it. */
  async giveUp(runId: string, status: "failed" | "interrupted" = "failed"): Promise<boolean> {
    const { sql, clock } = this.core.p;
    const run = runById(sql, runId);
    if (!run || isOver(run.status) || run.status === "waiting_approval") return false;
    if (run.lease_until !== null && run.lease_until > clock.now()) return false;
    await this.core.end(run, { status, result: null, error: FAILED });
    return true;
  }
}
