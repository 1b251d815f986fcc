import { DurableObject } from "cloudflare:workers";
import { SECOND } from "../src/kernel/clock";
import { describe } from "../src/kernel/errors";
import { type Runtime, runtimeOf } from "../src/kernel/runtime";
import {
  type Attach,
  type Claimed,
  type Command,
  type Delivered,
  type Delivery,
  type Ended,
  Home,
  type IndexRow,
  type LineInfo,
  newLine,
  type Outcome,
  type Question,
  type SessionRecord,
  type SessionView,
  type StreamFrame,
  type Submitted,
  silentLine,
  writeIndex,
} from "../src/session";
import type { SealAsk, VaultRow, WieldAsk, Wielded } from "../src/vault";
import type { ObjectEnv } from "./env";
import { hostAddress, hostStanding } from "./host";
import { acceptorOf, SessionLines } from "./session.lines";
import {
  end,
  FRAME_LIMIT,
  MAX_WAITING,
  MAX_WAITING_SIZE,
  newTraffic,
  stateOf,
  type Traffic,
  take,
  write,
} from "./session.sockets";
import { ChatVault } from "./session.vault";
import { sessionViewLines } from "./session.view";

/** Every line hears from us this often: clients of 0.1.4 hang up after 60 s without a PING, whatever else arrives. Wall ms. */
const PING_EVERY = 30 * SECOND;
const PING = JSON.stringify({ type: "PING" });
/**
 * One session: the home of its state, and the acceptor of sockets opened under its name. A line whose session lives elsewhere
 * is lent to that home by RPC (design §3). Thin: the door decides who may pass, the home what happens.
 */
export class Session extends DurableObject<ObjectEnv> {
  readonly #traffic = new Map<string, Traffic>();
  readonly #lines = new SessionLines({
    ctx: this.ctx,
    env: this.env,
    runtime: () => this.#runtime,
    home: () => this.#home,
    acceptor: (line) => line.own,
  });
  #made: Home | null = null;
  /** Of a chat: the credentials that came with its events (hermes-relay §7). */
  readonly #vault = new ChatVault({
    isOwn: (name) => this.env.SESSION.idFromName(name).equals(this.ctx.id),
    storage: this.ctx.storage,
    runtime: () => this.#runtime,
    arm: () => this.#arm(),
  });

  constructor(ctx: DurableObjectState, env: ObjectEnv) {
    super(ctx, env);
    Home.create(ctx.storage.sql);
  }

  get #runtime(): Runtime {
    return runtimeOf(this.env, "session");
  }

  /** Storage was emptied, tables too. */
  #wiped = false;

  get #home(): Home {
    if (this.#wiped) Home.create(this.ctx.storage.sql);
    this.#wiped = false;
    const { clock, log } = this.#runtime;
    this.#made ??= new Home({
      sql: this.ctx.storage.sql,
      clock,
      log,
      ttlMs: this.#runtime.config.sessionResultTtlMs,
      ownLine: (line, texts) => {
        for (const ws of this.ctx.getWebSockets(line)) write(ws, texts);
      },
      ownLines: (from, texts) => {
        for (const ws of this.ctx.getWebSockets()) {
          const line = stateOf(ws);
          if (line?.home === line?.own && line?.from === from) write(ws, texts);
        }
      },
      acceptor: (id) => acceptorOf(this.env, id),
      enqueue: async (session_id, run_id) => {
        await this.env.RUNS_QUEUE.send({ kind: "session_run", session_id, run_id });
      },
      index: async (row: IndexRow) =>
        writeIndex(this.env.DB, row, (await hostAddress(this.#runtime)) ?? "unconfigured"),
      arm: () => this.#arm(),
    });
    return this.#made;
  }

  /** The upgrade. `x-session` is this object's name, `x-path` says whether the client's URL named it. */
  override async fetch(request: Request): Promise<Response> {
    const own = request.headers.get("x-session");
    if (!own || request.headers.get("upgrade") !== "websocket") return new Response(null, { status: 400 });
    const { 0: client, 1: server } = new WebSocketPair();
    const now = this.#runtime.clock.wall();
    const ip = request.headers.get("cf-connecting-ip") ?? "local";
    const direct = request.headers.get("x-path") === "direct";
    const line = newLine(crypto.randomUUID(), own, direct, now, now + PING_EVERY, ip);
    this.ctx.acceptWebSocket(server, [line.id]);
    server.serializeAttachment(line);
    await this.#arm();
    return new Response(null, { status: 101, webSocket: client });
  }

  override async webSocketMessage(ws: WebSocket, data: string | ArrayBuffer): Promise<void> {
    const id = stateOf(ws)?.id;
    if (id === undefined) return;
    const { clock } = this.#runtime;
    const t = this.#trafficOf(id, clock.wall());
    const size = typeof data === "string" ? data.length : data.byteLength;
    // One frame too large is told as that, whatever else waits.
    if (size > FRAME_LIMIT && typeof data === "string")
      return end(ws, `frame too large: at most ${FRAME_LIMIT} bytes`, 1009);
    if (t.frames >= MAX_WAITING || t.size + size > MAX_WAITING_SIZE || !take(t, clock.wall()))
      return end(ws, "rate limited: too many frames", 4429);
    if (typeof data !== "string") return end(ws, "Invalid JSON: text frames only", 1003);
    this.#lines.heard(ws);
    t.frames++;
    t.size += size;
    // Any outside await opens the input gate: frames of one line wait for each other here.
    const mine = t.tail.then(() => this.#lines.frame(ws, data));
    t.tail = mine;
    await mine.finally(() => {
      t.frames--;
      t.size -= size;
    });
  }

  override async webSocketClose(ws: WebSocket, code: number, reason: string): Promise<void> {
    try {
      ws.close(code === 1005 || code === 1006 ? 1000 : code, reason);
    } catch {
      // Closed already.
    }
    await this.#left(ws);
  }

  override async webSocketError(ws: WebSocket): Promise<void> {
    await this.#left(ws);
  }

  async #left(ws: WebSocket): Promise<void> {
    const id = stateOf(ws)?.id;
    if (id === undefined) return;
    await this.#traffic.get(id)?.tail;
    this.#traffic.delete(id);
    const line = stateOf(ws);
    if (!line) return;
    await this.#lines.left(line);
    if (!this.#wipe()) await this.#arm();
  }

  #trafficOf(line: string, now: number): Traffic {
    const t = this.#traffic.get(line) ?? newTraffic(now);
    this.#traffic.set(line, t);
    return t;
  }

  // Asked by other Session objects.

  async attach(a: Attach): Promise<boolean> {
    const attached = await this.#home.clients.attach(a);
    await this.#arm();
    return attached;
  }

  lentCommand(n: number, command: Command): Promise<boolean> {
    return this.#home.clients.lentCommand(n, command);
  }

  detach(line: string): void {
    this.#home.clients.detach(line);
    this.#wipe();
  }

  /** Frames from a line's home, for the socket held here. */
  deliver(d: Delivery): Delivered {
    return this.#lines.deliver(d);
  }

  owner(): string | null {
    const owner = this.#home.owner();
    if (owner === null) this.#wipe();
    return owner;
  }

  statusFor(from: string): "running" | "connected" | "not_found" {
    const status = this.#home.statusFor(from);
    if (status === "not_found") this.#wipe();
    return status;
  }

  // Asked by the edge.

  record(): { owner: string | null; record: SessionRecord } | null {
    const found = this.#home.record();
    if (found === null) this.#wipe();
    return found;
  }

  submit(from: string, id: string, prompt: string, inputId: string | null, session: unknown): Promise<Submitted> {
    return this.#home.clients.submit(from, id, prompt, inputId, session);
  }

  waitFor(runId: string, ms: number): Promise<Ended | null> {
    return this.#home.waitFor(runId, ms);
  }

  /** Logged frames after a cursor; waits up to `ms` for the first. */
  async eventsAfter(
    cursor: string | number | null,
    limit: number,
    ms: number,
  ): Promise<ReturnType<Home["eventsAfter"]>> {
    const now = this.#home.eventsAfter(cursor, limit);
    if (now.frames.length > 0 || now.gap || ms <= 0) return now;
    await this.#home.newsAfter(now.after, ms);
    return this.#home.eventsAfter(cursor, limit);
  }

  // Asked by executors (queue `runs`).

  claim(runId: string, token: string): Promise<Claimed> {
    return this.#home.runs.claim(runId, token);
  }

  events(runId: string, token: string, events: StreamFrame[]): Promise<boolean> {
    return this.#home.runs.events(runId, token, events);
  }

  ask(runId: string, token: string, question: Question): Promise<{ answer: unknown } | { parked: boolean }> {
    return this.#home.runs.ask(runId, token, question);
  }

  /** Whose session this is, and whether an admin's as of now: trust is the edge's to read. */
  async actor(): Promise<{ owner: string | null; admin: boolean }> {
    const owner = this.#home.owner();
    return { owner, admin: owner !== null && (await hostStanding(this.env, this.#runtime, owner)).admin };
  }

  finish(runId: string, token: string, outcome: Outcome, seen: number): Promise<"ended" | "lost" | { more: string[] }> {
    return this.#home.runs.finish(runId, token, outcome, seen);
  }

  release(runId: string, token: string): void {
    this.#home.runs.release(runId, token);
  }

  giveUp(runId: string): Promise<boolean> {
    return this.#home.runs.giveUp(runId);
  }

  // Asked for an operator.

  /** Null: unknown or expired. */
  async view(): Promise<Omit<SessionView, "agent" | "built_in"> | null> {
    const shown = this.#home.view();
    if (shown === null) this.#wipe();
    return shown && { ...shown, lines: await sessionViewLines(this.ctx, this.env, this.#home) };
  }

  cancel(error: string): Promise<string | null> {
    return this.#home.cancel(error);
  }

  async drop(): Promise<boolean> {
    const dropped = this.#home.drop();
    if (!this.#wipe()) await this.#arm();
    return dropped;
  }

  /** Closes a line of this session, whoever holds its socket. False: there is none of that name. */
  async closeLine(line: string): Promise<boolean> {
    const lent = this.#home.lent.find((l) => l.id === line);
    return lent ? acceptorOf(this.env, lent.acceptor).shutLine(line) : this.#lines.shut(line);
  }

  lineInfo(line: string): LineInfo | null {
    return this.#lines.info(line);
  }

  shutLine(line: string): boolean {
    return this.#lines.shut(line);
  }

  // A chat's vault, asked by the edge and by the Gateway object of its instance.

  seal(ask: SealAsk): Promise<void> {
    return this.#vault.seal(ask);
  }

  wield(ask: WieldAsk): Promise<Wielded> {
    return this.#vault.wield(ask);
  }

  /** An answer went to the chat without the vault: deferred replies end without a word. */
  posted(): void {
    this.#vault.posted();
  }

  vault(): VaultRow[] {
    const rows = this.#vault.view();
    if (rows.length === 0) this.#wipe();
    return rows;
  }

  purge(): void {
    this.#vault.purge();
    this.#wipe();
  }

  // Time: one alarm for the lines held here and whatever is due in the home.

  override async alarm(): Promise<void> {
    try {
      this.#ping();
      await this.#home.onAlarm();
      await this.#vault.onAlarm();
      if (this.#wipe()) return;
    } catch (error) {
      this.#runtime.log("error", "session.alarm_failed", { error: describe(error) });
    }
    await this.#arm();
  }

  /** Leaves nothing of an object that holds nothing: one was made for every connection, and for every id somebody tried. */
  #wipe(): boolean {
    if (this.ctx.getWebSockets().some((ws) => ws.readyState === WebSocket.OPEN) || !this.#home.empty) return false;
    if (!this.#vault.empty) return false;
    this.#wiped = true;
    this.#vault.forget();
    this.ctx.storage
      .deleteAll()
      .catch((error) => this.#runtime.log("warn", "session.unwiped", { error: describe(error) }));
    return true;
  }

  #ping(): void {
    const now = this.#runtime.clock.wall();
    for (const ws of this.ctx.getWebSockets()) {
      const line = stateOf(ws);
      if (!line || line.ping_at > now + SECOND) continue;
      const silent = silentLine(line, now);
      if (silent !== null) end(ws, silent, 4408);
      else {
        write(ws, [PING]);
        ws.serializeAttachment({ ...line, ping_at: now + PING_EVERY });
      }
    }
  }

  async #arm(): Promise<void> {
    const now = Date.now();
    const pings = this.ctx
      .getWebSockets()
      .filter((ws) => ws.readyState === WebSocket.OPEN)
      .flatMap((ws) => stateOf(ws)?.ping_at ?? []);
    const due = [this.#home.dueAt(), this.#vault.dueAt()].filter((at) => at !== null);
    const next = Math.min(...pings, ...due);
    const pending = await this.ctx.storage.getAlarm();
    if (!Number.isFinite(next)) {
      // With nothing due an alarm does nothing but find that out; taking it back costs as much as letting it ring.
      return;
    }
    if (pending === null || pending > next + SECOND || pending < now - SECOND)
      await this.ctx.storage.setAlarm(Math.max(next, now));
  }
}
