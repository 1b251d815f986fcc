import { DurableObject } from "cloudflare:workers";
import {
  Buffer,
  type DeliveryQuery,
  expiry,
  type GatewayView,
  GREETING_MS,
  Memory,
  type Offer,
  type Offered,
  ownsKey,
  type ReplayAsk,
  type Replayed,
  readDead,
  readDeliveries,
  readSessionKey,
} from "../src/gateway";
import { SECOND } from "../src/kernel/clock";
import { describe } from "../src/kernel/errors";
import { type Runtime, runtimeOf } from "../src/kernel/runtime";
import type { ObjectEnv } from "./env";
import { Door } from "./gateway.door";
import { Drain } from "./gateway.drain";
import { egressOf, prepareMedia } from "./gateway.egress";
import { Kept } from "./gateway.kept";
import { Offers } from "./gateway.offers";
import { Ops } from "./gateway.ops";
import { pokeInstance, purgeVaults, tellDead, tellReplayed } from "./gateway.outside";
import { replay } from "./gateway.replay";
import { closeSocket, Sockets } from "./gateway.sockets";
import type { GatewayMethods } from "./gateway.stub";
import { Timing } from "./gateway.time";
import { viewOf } from "./gateway.view";

/** After a drop the caches of the edge may still send here, wall ms. */
const REFUSE_MS = 10 * SECOND;
const EXPIRE_EVERY = 1_000 * SECOND;

interface Parts {
  drain: Drain;
  offers: Offers;
  door: Door;
  timing: Timing;
}

/**
 * One instance: its gateways' sockets, its delivery buffer, its outbound ops. Thin: what comes next is src/gateway/delivery.ts,
 * what is stored src/gateway/buffer.ts. Every entry point may be the first after a wake.
 */
export class Gateway extends DurableObject<ObjectEnv> implements GatewayMethods {
  readonly #buffer = new Buffer(this.ctx.storage.sql);
  readonly #memory = new Memory(this.ctx.storage.sql);
  readonly #sockets = new Sockets(this.ctx);
  readonly #kept = new Kept(this.ctx.storage.kv);
  #parts: Parts | null = null;
  #expired = 0;

  constructor(ctx: DurableObjectState, env: ObjectEnv) {
    super(ctx, env);
    Buffer.create(ctx.storage.sql);
    Memory.create(ctx.storage.sql);
  }

  get #runtime(): Runtime {
    return runtimeOf(this.env, "gateway");
  }

  get #now(): number {
    return this.#runtime.clock.now();
  }

  get #all(): Parts {
    this.#parts ??= this.#make();
    return this.#parts;
  }

  #make(): Parts {
    const { ctx, env } = this;
    const runtime = this.#runtime;
    const [buffer, memory, sockets, kept] = [this.#buffer, this.#memory, this.#sockets, this.#kept];
    const timing = new Timing(ctx.storage, runtime, buffer, sockets, kept);
    const drain = new Drain({
      runtime,
      buffer,
      sockets,
      kept,
      prepare: (stored, line) => prepareMedia(env, runtime, stored, line),
      guard: (at) => void timing.arm(at),
    });
    const offers = new Offers(
      () => buffer,
      () => memory,
      ctx.storage,
      () => this.#now,
    );
    const egress = egressOf(env, runtime, memory);
    const ops = new Ops(runtime, egress, (chat, among) => memory.platformsOf(chat, among));
    const interruptFor = (key: string): Promise<boolean> => this.interruptFor(key);
    const door = new Door({ ctx, env, runtime, buffer, sockets, kept, drain, ops, interruptFor });
    return { drain, offers, door, timing };
  }

  // Sockets.

  override async fetch(request: Request): Promise<Response> {
    return this.#all.door.accept(request);
  }

  override async webSocketMessage(ws: WebSocket, data: string | ArrayBuffer): Promise<void> {
    await Promise.all([...this.#all.door.receive(ws, data), this.#go(true)]);
  }

  override async webSocketClose(ws: WebSocket, code: number, reason: string): Promise<void> {
    closeSocket(ws, code === 1005 || code === 1006 ? 1000 : code, reason);
    await this.webSocketError(ws);
  }

  override async webSocketError(ws: WebSocket): Promise<void> {
    this.#all.door.leave(ws);
    await this.#go(false);
  }

  // Deliveries.

  async offer(offer: Offer): Promise<Offered> {
    const { dropped } = this.#kept;
    if (dropped && !dropped.over && this.#runtime.clock.wall() < dropped.wall + REFUSE_MS)
      return { outcome: "refused", why: "revoked" };
    this.#kept.who = offer.to;
    const offered = await this.#all.offers.offer(offer);
    if (offered.outcome === "stored") {
      for (const seq of this.#buffer.beyond(this.#runtime.config.deliveryRows))
        this.#buffer.bury(seq, "more events waited than an instance may hold", this.#now);
      this.#goOn();
    }
    return offered;
  }

  async settle(seq: number, ok: boolean, why = "its capability could not be sealed"): Promise<void> {
    if (ok) this.#buffer.release(seq);
    else this.#buffer.bury(seq, why, this.#now);
    this.#goOn();
  }

  /** Its author deleted it: taken back while it waits. */
  async withdraw(platform: string, chatId: string, messageId: string): Promise<"withdrawn" | "sent" | "unknown"> {
    const flying = new Set(this.#sockets.listeners().flatMap((l) => l.sent?.seqs ?? []));
    for (const { seq } of this.#buffer.rows.filter((r) => r.platform === platform && r.chat === chatId)) {
      if (this.#buffer.read(seq)?.event.message_id !== messageId) continue;
      if (flying.has(seq)) return "sent";
      this.#buffer.withdraw(seq, "deleted by its author before it was sent", this.#now);
      return "withdrawn";
    }
    return "unknown";
  }

  async replay(ask: ReplayAsk): Promise<Replayed> {
    const done = await replay(this.#buffer, this.#all.offers, ask, () => this.#now);
    this.#goOn();
    const seqs = done.replayed.map((r) => r.seq);
    await tellReplayed(this.env.DB, this.#runtime, this.#kept.tag, seqs, ask.by ?? "operator");
    return done;
  }

  async deliveries(query: DeliveryQuery): ReturnType<GatewayMethods["deliveries"]> {
    return readDeliveries(this.#buffer, this.#memory, this.#kept.tag, query);
  }

  async dead(query: { before?: number; limit: number }): ReturnType<GatewayMethods["dead"]> {
    return readDead(this.#buffer, this.#memory, this.#kept.tag, query);
  }

  async view(): Promise<GatewayView> {
    return viewOf(this.#buffer, this.#all.drain.scene, this.#sockets, this.#kept, this.#now);
  }

  // What is remembered.

  async knowsChat(platform: string, chatId: string): Promise<boolean> {
    return this.#memory.chat(platform, chatId).length > 0;
  }

  async vaulted(): Promise<{ platform: string; chat: string }[]> {
    return this.#memory.vaulted();
  }

  async isOwn(platform: string, chatId: string, messageId: string): Promise<boolean> {
    return this.#memory.isOwn(platform, chatId, messageId, this.#now);
  }

  async moved(platform: string, from: string, to: string): Promise<void> {
    this.#memory.moved(platform, from, to);
  }

  async chatsOf(platform: string, scopeId: string): Promise<string[]> {
    return this.#memory.chatsIn(platform, scopeId);
  }

  /** The chat a session key speaks of, when that session is this instance's. */
  #chatOf(sessionKey: string): string | null {
    const key = readSessionKey(sessionKey);
    return key?.chats.find((chat) => ownsKey(key, chat, this.#memory.chat(key.platform, chat))) ?? null;
  }

  async ownsSession(sessionKey: string): Promise<boolean> {
    return this.#chatOf(sessionKey) !== null;
  }

  async interruptFor(sessionKey: string): Promise<boolean> {
    const chat = this.#chatOf(sessionKey);
    if (chat !== null) this.#all.drain.interrupt(sessionKey, chat);
    return chat !== null;
  }

  // The end.

  async drop({ reason, gateway_id }: { reason: string; gateway_id?: string }): Promise<void> {
    const at = this.#now;
    const kept = this.#kept;
    const { door, offers, timing } = this.#all;
    const gone = this.#sockets.open().filter(([, l]) => gateway_id === undefined || l.gateway_id === gateway_id);
    if (gateway_id !== undefined) {
      kept.revoked = { ...kept.revoked, [gateway_id]: at };
      for (const [ws] of gone) door.end(ws, 4401, "unauthorized");
      return this.#go(false);
    }
    const dropped = { at, wall: this.#runtime.clock.wall(), why: reason, over: false };
    // First, so that nothing new comes in; and what is known of the vaults goes last, so that a purge that fails can be repeated.
    kept.dropped = dropped;
    for (const [ws] of gone) {
      this.#sockets.leave(ws);
      closeSocket(ws, 4401, "unauthorized");
    }
    await purgeVaults(this.env.SESSION, kept.who, this.#memory.vaulted());
    const { revoked } = kept;
    offers.close();
    await this.ctx.storage.deleteAlarm();
    await this.ctx.storage.deleteAll();
    timing.rang();
    this.#parts = null;
    for (const part of [this.#buffer, this.#memory, kept]) part.forget();
    Buffer.create(this.ctx.storage.sql);
    Memory.create(this.ctx.storage.sql);
    kept.revoked = revoked;
    kept.dropped = dropped;
  }

  /** Drops the tables of past days: once a day, for instances nothing else wakes. */
  async tidy(): Promise<void> {
    this.#expire();
  }

  #expire(): void {
    const now = this.#now;
    this.#expired = now;
    for (const row of this.#buffer.rows.filter((r) => expiry(r, now) !== null)) {
      const flying = this.#sockets.listeners().some((l) => l.sent?.seqs.includes(row.seq));
      if (!flying) this.#buffer.bury(row.seq, expiry(row, now)!, now);
    }
    this.#buffer.expire(now);
    this.#memory.expire(now);
  }

  // Time: one alarm for all that is due.

  override async alarm(): Promise<void> {
    const { timing } = this.#all;
    const { tag, who } = this.#kept;
    timing.rang();
    try {
      this.#expire();
      await tellDead(this.env.DB, this.#runtime, this.#buffer, who, tag);
      if (timing.takePoke()) await pokeInstance(this.env.DB, this.#runtime, who);
    } catch (error) {
      this.#runtime.log("error", "gateway.alarm_failed", { error: describe(error) });
    }
    await this.#go(false);
  }

  /** Does what can be done and sets the alarm for what can't yet. `patient`: the event that called may wait for a greeting. */
  async #go(patient: boolean): Promise<void> {
    if (this.#now > this.#expired + EXPIRE_EVERY) this.#expire();
    let until = await this.#all.drain.pump();
    const soon = until === null ? 0 : this.#runtime.clock.toWall(until) - this.#runtime.clock.wall();
    if (patient && until !== null && soon <= GREETING_MS) {
      // Shorter than an alarm is worth, and it would be a row.
      await scheduler.wait(Math.max(1, soon));
      until = await this.#all.drain.pump();
    }
    await this.#all.timing.arm(until);
  }

  /** What is sent, and when, is no business of a webhook's ack: its files may take seconds. */
  #goOn(): void {
    this.#go(false).catch((error) => this.#runtime.log("error", "gateway.drain_failed", { error: describe(error) }));
  }
}
