import { DurableObject, exports } from "cloudflare:workers";
import { DAY, SECOND } from "../src/kernel/clock";
import { describe } from "../src/kernel/errors";
import { type Runtime, runtimeOf } from "../src/kernel/runtime";
import {
  type AckArgs,
  ack,
  batchOf,
  type Caller,
  type CloseArgs,
  type CreateArgs,
  claimEvent,
  close,
  countPush,
  countRows,
  create,
  type Desk,
  dueEvents,
  findRecipients,
  forget,
  type InboxArgs,
  inbox,
  type Mail,
  nextLook,
  type Pushed,
  pushOnce,
  putMail,
  type ReplyArgs,
  reply,
  retire,
  type SendArgs,
  send,
  settleAccepted,
  settleFailed,
  settleIgnored,
  ToolFault,
  type ToolReply,
  WORKSPACE_SCHEMA,
  type WorkspaceCounts,
} from "../src/messaging";
import type { ObjectEnv } from "./env";

/** Pushes on their way at once: an object has six outgoing connections, and one is left for the store. */
const AT_ONCE = 5;
/** An alarm is for what died or waits; what is due now is pushed by whoever made it due. */
const SOONEST = SECOND;
/** Messages are kept this long, Reveille ms. */
const KEEP = 90 * DAY;

/**
 * The home of a workspace's sessions, messages and wake events (wake-slo §7). A message and its wake are one row; its sender is
 * answered when that row and an alarm are written. Pushes run beside the calls, one a recipient, and the alarm takes up what
 * an end of this object cut off.
 */
export class Workspace extends DurableObject<ObjectEnv> {
  readonly #pushing = new Set<string>();
  /** When the alarm is set for, as far as this life of the object knows. Wall ms. */
  #armed: number | null = null;

  constructor(ctx: DurableObjectState, env: ObjectEnv) {
    super(ctx, env);
    ctx.storage.sql.exec(WORKSPACE_SCHEMA);
  }

  send(me: Caller, args: SendArgs): Promise<ToolReply> {
    return this.#act(me.workspace, (desk) => send(desk, me, args));
  }
  reply(me: Caller, args: ReplyArgs): Promise<ToolReply> {
    return this.#act(me.workspace, (desk) => reply(desk, me, args));
  }
  createSession(me: Caller, args: CreateArgs): Promise<ToolReply> {
    return this.#act(me.workspace, (desk) => create(desk, me, args));
  }
  inbox(me: Caller, args: InboxArgs): Promise<ToolReply> {
    return this.#act(me.workspace, (desk) => inbox(desk, me, args));
  }
  closeSession(me: Caller, args: CloseArgs): Promise<ToolReply> {
    return this.#act(me.workspace, (desk) => close(desk, me, args));
  }
  ack(me: Caller, args: AckArgs): Promise<ToolReply> {
    return this.#act(me.workspace, (desk) => ack(desk, me, args));
  }
  /** A hook's message for the inbox of an agent; the same wake again is the same mail. */
  mail(workspace: string, mail: Mail): Promise<ToolReply> {
    return this.#act(workspace, async (desk) => ({ ...(await putMail(desk, mail)) }));
  }

  /** Of the last 24 h, for the operator's pages. */
  counts(): WorkspaceCounts {
    return countRows(this.ctx.storage.sql, this.#runtime().clock.now() - DAY);
  }

  override async alarm(): Promise<void> {
    this.#armed = null;
    const { now } = this.#runtime().clock;
    const day = Math.floor(now() / DAY);
    if (this.ctx.storage.kv.get<number>("forgot") !== day) {
      forget(this.ctx.storage.sql, now() - KEEP);
      this.ctx.storage.kv.put("forgot", day);
    }
    this.#pushDue();
  }

  #runtime(): Runtime {
    return runtimeOf(this.env, "workspace");
  }

  /** Runs a tool and turns its refusal into a value. Every call also takes up wakes that an end of this object left behind. */
  async #act(
    workspace: string,
    work: (desk: Desk) => Promise<Record<string, unknown>> | Record<string, unknown>,
  ): Promise<ToolReply> {
    const { clock, log } = this.#runtime();
    const { storage } = this.ctx;
    if (storage.kv.get<string>("workspace") === undefined) storage.kv.put("workspace", workspace);
    const desk: Desk = {
      sql: storage.sql,
      transaction: (inside) => storage.transactionSync(inside),
      now: clock.now,
      wall: clock.wall,
      find: (asked) => findRecipients(this.env.DB, workspace, asked),
    };
    try {
      const value = await work(desk);
      this.#pushDue();
      return { ok: true, value };
    } catch (error) {
      if (error instanceof ToolFault) return { ok: false, code: error.code, message: error.message };
      log("error", "messaging.failed", { workspace, error: describe(error) });
      const text = String(error);
      if (/SQLITE_FULL|disk is full/i.test(text))
        return { ok: false, code: "STORAGE_FULL", message: "this workspace has no room left" };
      if (/D1_ERROR/.test(text))
        return { ok: false, code: "BUSY", message: "the agents' directory did not answer; try again" };
      return { ok: false, code: "INTERNAL", message: "something failed on our side; it is in the log" };
    }
  }

  /** Starts a push to each recipient that has a due event and none on its way, and sets the alarm for the rest. */
  #pushDue(): void {
    const { sql } = this.ctx.storage;
    const wall = this.#runtime().clock.wall();
    // Most calls leave nobody to be woken.
    if (nextLook(sql, wall) === null) return;
    retire(sql, wall);
    for (const event of dueEvents(sql, wall)) {
      if (this.#pushing.size >= AT_ONCE) break;
      if (this.#pushing.has(event.to_id)) continue;
      const attempt = claimEvent(sql, event.id, event.attempts, wall);
      if (attempt === null) continue;
      this.#pushing.add(event.to_id);
      // Nobody waits for it: the claim in the row brings it back when this object ends first.
      void this.#push(event.id, event.to_id, attempt);
    }
    this.#arm(nextLook(sql, wall), wall);
  }

  #arm(at: number | null, wall: number): void {
    if (at === null) return;
    const due = Math.max(at, wall + SOONEST);
    if (this.#armed !== null && this.#armed <= due && this.#armed > wall) return;
    this.#armed = due;
    void this.ctx.storage.setAlarm(due);
  }

  async #push(id: string, to: string, attempt: number): Promise<void> {
    const { storage } = this.ctx;
    const runtime = this.#runtime();
    const { clock, log } = runtime;
    const pushed = await pushOnce(
      {
        db: this.env.DB,
        runtime,
        workspace: storage.kv.get<string>("workspace") ?? "",
        batch: () => batchOf(storage.sql, id, clock.now()),
        self: (request) => (exports as unknown as { default: Fetcher }).default.fetch(request),
      },
      id,
      to,
    );
    this.#pushing.delete(to);
    this.#settle(pushed, id, attempt);
    if (pushed.result !== "accepted") log("info", "wake.push", { to, message_id: id, attempt, ...pushed });
    this.#pushDue();
    if (pushed.result !== "gone")
      await countPush(this.env.DB, to, pushed.result, clock.now()).catch((error) =>
        log("warn", "wake.uncounted", { error: describe(error) }),
      );
  }

  #settle(pushed: Pushed, id: string, attempt: number): void {
    const { sql } = this.ctx.storage;
    const { clock } = this.#runtime();
    if (pushed.result === "accepted") settleAccepted(sql, pushed.ids, clock.now());
    else if (pushed.result === "failed") settleFailed(sql, id, attempt, clock.wall(), pushed.why);
    else if (pushed.result === "ignored") settleIgnored(sql, id, pushed.why);
  }
}
