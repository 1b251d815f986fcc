import { DurableObject } from "cloudflare:workers";
import { MINUTE } from "../src/kernel/clock";
import { describe, notFound, type Reply, ReveilleError, reply } from "../src/kernel/errors";
import { newId } from "../src/kernel/ids";
import { type Runtime, runtimeOf } from "../src/kernel/runtime";
import {
  activeAt,
  envelopeOf,
  FARTHEST_LOOK,
  fresh,
  type Input,
  isEnvelopeEnabled,
  issueOf,
  lookAt,
  lookStatement,
  lostRace,
  type Machine,
  noteWatcher,
  plan,
  policyOf,
  readLiveWindows,
  readState,
  readTarget,
  rehearsed,
  report,
  type Snapshot,
  saveState,
  step,
  type Target as TargetRecord,
  unchanged,
  watcherSnapshot,
} from "../src/watch";
import type { ObjectEnv } from "./env";
import { switchboard } from "./switchboard.do";

/** What an act or a look left behind, for the caller's answer. */
export interface TargetView {
  machine: Machine;
  changed: boolean;
}

/** What callers may ask of a Target object. The platform's own stub type can't describe recursive JSON details. */
export type TargetMethods = Pick<
  Target,
  "observe" | "look" | "nudge" | "ack" | "snooze" | "rehearse" | "close" | "rearm"
>;

/** The object of one target. */
export const targetObject = (namespace: DurableObjectNamespace, targetId: string): TargetMethods =>
  namespace.get(namespace.idFromName(targetId)) as unknown as TargetMethods;

/** The rule of the builtin target whose object watches the cron (the dead man's other half). */
const WATCHER_RULE = "cron_alive";
const WATCHER_EVERY = 2 * MINUTE;

/**
 * One target's single writer: it confirms, recovers, flaps and escalates, and looks by itself while the target is suspect or
 * open. Its state lives in D1 (`target_state`), in the same batch as incident and wake; the object adds order and the alarm.
 */
export class Target extends DurableObject<ObjectEnv> {
  #tail: Promise<unknown> = Promise.resolve();

  get #runtime(): Runtime {
    return runtimeOf(this.env, "target");
  }

  /** A look made by the cycle or a rule. Older looks than the newest known are ignored. */
  observe(targetId: string, snapshot: Snapshot): Promise<TargetView> {
    return this.#commitLook(targetId, snapshot, false);
  }

  /** Looks now and answers with what was seen ("Look now", a beat while not healthy, the alarm). */
  look(targetId: string): Promise<Reply<TargetView & { snapshot: Snapshot }>> {
    return reply(() => this.#look(targetId));
  }

  async #look(targetId: string): Promise<TargetView & { snapshot: Snapshot }> {
    const target = await this.#target(targetId);
    if (target.kind === "internal")
      throw new ReveilleError({
        status: 409,
        code: "fed_by_rule",
        message: `${targetId} is one of Reveille's own rules; it is computed, not looked at.`,
      });
    const now = this.#runtime.clock.now();
    const state = await readState(this.env.DB, targetId);
    const snapshot = state?.machine.rehearsal ? rehearsed(state.machine, now) : await this.#see(target);
    return { ...(await this.#commitLook(targetId, snapshot, true)), snapshot };
  }

  /** Looks soon if this target is not steady and healthy: something said that it may have changed. */
  async nudge(targetId: string): Promise<void> {
    const state = await readState(this.env.DB, targetId);
    if (state && (state.machine.phase !== "steady" || state.machine.status !== "healthy")) await this.#look(targetId);
  }

  ack(targetId: string, incidentId: string, by: string, on: boolean): Promise<Reply<TargetView>> {
    return reply(() => this.#act(targetId, incidentId, by, (at) => ({ type: on ? "ack" : "unack", at })));
  }

  snooze(targetId: string, incidentId: string, by: string, until: number | null): Promise<Reply<TargetView>> {
    return reply(() => this.#act(targetId, incidentId, by, (at) => ({ type: "snooze", at, until })));
  }

  /** Starts a rehearsal: bad looks that confirm, then good ones, marked in every row and notice. */
  rehearse(targetId: string): Promise<Reply<TargetView>> {
    return reply(() => this.#rehearse(targetId));
  }

  async #rehearse(targetId: string): Promise<TargetView> {
    const view = await this.#commit(targetId, null, (target, at, machine) => {
      if (target.kind === "internal" || target.paused)
        throw new ReveilleError({
          status: 409,
          code: "cannot_rehearse",
          message: `${targetId} is ${target.paused ? "paused" : "one of Reveille's own rules"}; only a live target can rehearse.`,
        });
      if (machine.phase !== "steady" || machine.rehearsal)
        throw new ReveilleError({
          status: 409,
          code: "not_steady",
          message: `${targetId} has a real fault or a rehearsal under way.`,
          hint: "Rehearse when the target is steady.",
        });
      return { type: "rehearse", at };
    });
    await this.#look(targetId);
    return view;
  }

  /** Ends what is open and stops looking: the target was paused or is about to be deleted. */
  close(targetId: string, by: string): Promise<Reply<TargetView>> {
    return reply(() => this.#commit(targetId, by, (_t, at) => ({ type: "close", at })));
  }

  /** Sets the alarm again when it should be pending: a lost alarm chain must not leave an open target unseen. */
  async rearm(targetId: string): Promise<void> {
    if ((await this.ctx.storage.get("target_id")) !== targetId) await this.ctx.storage.put("target_id", targetId);
    const pending = await this.ctx.storage.getAlarm();
    // One that lies further ahead than any look can be planned is of a clock that was set back.
    if (pending === null || pending > Date.now() + FARTHEST_LOOK) await this.ctx.storage.setAlarm(Date.now());
  }

  override async alarm(): Promise<void> {
    const targetId = await this.ctx.storage.get<string>("target_id");
    if (!targetId) return;
    const { clock, log } = this.#runtime;
    // Before any risky work, and reading the store is one: if this run dies, the next one is already due.
    await this.ctx.storage.setAlarm(clock.toWall(clock.now() + MINUTE));
    try {
      const target = await readTarget(this.env.DB, targetId);
      if (!target || target.paused) return await this.ctx.storage.deleteAlarm();
      if (target.config["rule"] !== WATCHER_RULE) await this.#look(targetId);
      else {
        await this.ctx.storage.setAlarm(clock.toWall(clock.now() + WATCHER_EVERY));
        await this.#watchCron(target);
      }
    } catch (error) {
      // The alarm above stays; the platform's own retries would only repeat the same failure faster.
      log("error", "target.alarm_failed", { target: targetId, error: describe(error) });
    }
  }

  async #watchCron(target: TargetRecord): Promise<void> {
    const now = this.#runtime.clock.now();
    const heardBefore = await noteWatcher(this.env.DB, now);
    // This alarm was away as well: all of Reveille was down (a restart, a move), so the cron has not had its turn yet.
    if (heardBefore !== null && now - heardBefore > 2 * WATCHER_EVERY) return;
    const snapshot = await watcherSnapshot(this.env.DB, now);
    await this.#commitLook(target.id, snapshot, false);
  }

  #see(target: TargetRecord): Promise<Snapshot> {
    return lookAt(target, this.#runtime, this.env.DB);
  }

  async #target(id: string): Promise<TargetRecord> {
    const target = await readTarget(this.env.DB, id);
    if (!target) throw notFound("target", id);
    return target;
  }

  #commitLook(targetId: string, snapshot: Snapshot, record: boolean): Promise<TargetView> {
    return this.#commit(
      targetId,
      null,
      async (target, at) => {
        const windows = await readLiveWindows(this.env.DB, at);
        return {
          type: "look",
          snapshot,
          severity: issueOf(target, snapshot).severity,
          maintenance: activeAt(windows, target.id, snapshot.at) !== null,
          new_id: newId(at),
        };
      },
      snapshot,
      record,
    );
  }

  async #act(targetId: string, incidentId: string, by: string, input: (at: number) => Input): Promise<TargetView> {
    return this.#commit(targetId, by, (_t, at, machine) => {
      if (machine.incident?.id !== incidentId)
        throw new ReveilleError({
          status: 409,
          code: "not_open",
          message: `Incident ${incidentId} is not open any more.`,
          hint: "Open it to see how it ended.",
        });
      return input(at);
    });
  }

  /**
   * Reads, steps and writes under this object's own queue (an outside await opens the input gate) and under the row's
   * optimistic lock (two objects can exist for a moment while one moves).
   */
  #commit(
    targetId: string,
    by: string | null,
    input: (target: TargetRecord, at: number, machine: Machine) => Input | Promise<Input>,
    snapshot: Snapshot | null = null,
    record = false,
  ): Promise<TargetView> {
    const run = async (): Promise<TargetView> => {
      for (let attempt = 0; ; attempt++) {
        try {
          return await this.#commitOnce(targetId, by, input, snapshot, record);
        } catch (error) {
          if (!lostRace(error) || attempt === 3) throw error;
        }
      }
    };
    const mine = this.#tail.then(run, run);
    this.#tail = mine.catch(() => {});
    return mine;
  }

  async #commitOnce(
    targetId: string,
    by: string | null,
    input: (target: TargetRecord, at: number, machine: Machine) => Input | Promise<Input>,
    snapshot: Snapshot | null,
    record: boolean,
  ): Promise<TargetView> {
    const { DB } = this.env;
    const { clock, config, redact } = this.#runtime;
    const [target, state] = await Promise.all([this.#target(targetId), readState(DB, targetId)]);
    if (!state) throw notFound("target", targetId);
    const at = clock.now();
    const before: Machine = { ...fresh(at), ...state.machine };
    const next = await input(target, at, before);
    // A look that was under way when an operator paused or deleted the target: nobody would ever resolve what it opens.
    if (target.paused && next.type === "look") return { machine: before, changed: false };
    const { machine, effects } = step(before, next, policyOf(target, config));
    const statements: D1PreparedStatement[] = [];
    if (record && snapshot) {
      const maintenance = next.type === "look" && next.maintenance;
      statements.push(lookStatement(DB, target.num, redact.json(snapshot), maintenance, machine.phase === "open"));
    }
    const wakes = await this.#effects(target, machine, effects, snapshot, by, at, statements);
    // A steady, healthy target that is looked at once more changes nothing worth a row.
    const quiet = effects.length === 0 && unchanged(before, machine);
    if (!quiet) statements.unshift(saveState(DB, targetId, state.version, machine));
    if (statements.length > 0) await DB.batch(statements);
    await this.#arm(targetId, target, machine);
    await this.#send(wakes);
    report(this.#runtime.log, target, machine, effects);
    return { machine, changed: effects.length > 0 };
  }

  async #effects(
    target: TargetRecord,
    machine: Machine,
    effects: ReturnType<typeof step>["effects"],
    snapshot: Snapshot | null,
    by: string | null,
    at: number,
    statements: D1PreparedStatement[],
  ): Promise<ReturnType<typeof plan>["wakes"]> {
    if (effects.length === 0) return [];
    const { redact, vars } = this.#runtime;
    const switches = effects.some((e) => e.type === "wake")
      ? await switchboard(this.env.SWITCHBOARD).readOrStop()
      : null;
    const envelopes = Object.fromEntries(Object.entries(switches?.envelopes ?? {}).map(([k, v]) => [k, v.enabled]));
    const planned = plan(effects, {
      db: this.env.DB,
      target,
      at,
      snapshot,
      issue: snapshot ? issueOf(target, snapshot) : null,
      by,
      envelope: {
        enabled: switches !== null && isEnvelopeEnabled(target.kind, vars, { killed: switches.killed, envelopes }),
        fix_name: envelopeOf(target.kind).fix_name,
      },
      redact,
      machine,
    });
    statements.push(...planned.statements);
    return planned.wakes;
  }

  async #arm(targetId: string, target: TargetRecord, m: Machine): Promise<void> {
    if (m.next_look_at === null) {
      if (target.config["rule"] !== WATCHER_RULE && (await this.ctx.storage.getAlarm()) !== null)
        await this.ctx.storage.deleteAlarm();
      return;
    }
    if ((await this.ctx.storage.get("target_id")) !== targetId) await this.ctx.storage.put("target_id", targetId);
    await this.ctx.storage.setAlarm(Math.max(Date.now(), this.#runtime.clock.toWall(m.next_look_at)));
  }

  /** The rows are committed; a send that fails here is found by the sweeper. */
  async #send(wakes: { wake_id: string }[]): Promise<void> {
    if (wakes.length === 0) return;
    try {
      await this.env.WAKE_QUEUE.sendBatch(wakes.map((w) => ({ body: { wake_id: w.wake_id, kind: "incident" } })));
    } catch (error) {
      this.#runtime.log("error", "wake.send_failed", { wakes: wakes.length, error: describe(error) });
    }
  }
}
