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
  type DoorPorts,
  type Ended,
  Home,
  type IndexRow,
  type LineState,
  newLine,
  type Outcome,
  onFrame,
  type Question,
  receive,
  type SessionRecord,
  type StreamFrame,
  type Submitted,
  silentLine,
  writeIndex,
} from "../src/session";
import { agentObject } from "./agent.do";
import type { ObjectEnv } from "./env";
import { hostAddress, hostAdmin, hostBlocks, hostTrust } from "./host";
import {
  close,
  end,
  MAX_WAITING,
  MAX_WAITING_SIZE,
  newTraffic,
  stateOf,
  type Traffic,
  take,
  write,
} from "./session.sockets";
import { type SessionMethods, sessionObject } from "./session.stub";

/** Every line hears from us this often: clients of 0.1.4 hang up after 60 s without a PING, whatever else arrives. Wall ms. */
const PING_EVERY = 30 * SECOND;
const PING = JSON.stringify({ type: "PING" });
/**
 * One session: the home of its state, and the acceptor of sockets opened under its name. A line whose session lives elsewhere
 * is lent to that home by RPC (design §3). Thin: the door decides who may pass, the home what happens.
 */
export class Session extends DurableObject<ObjectEnv> {
  readonly #traffic = new Map<string, Traffic>();
  readonly #homes = new Map<string, SessionMethods>();
  #made: Home | null = null;

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
      acceptor: (id) => sessionObject(this.env.SESSION, id),
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
    const line = newLine(crypto.randomUUID(), own, request.headers.get("x-path") === "direct", now, now + PING_EVERY);
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
    if (t.frames >= MAX_WAITING || t.size + size > MAX_WAITING_SIZE || !take(t, clock.wall()))
      return end(ws, "rate limited: too many frames", 4429);
    if (typeof data !== "string") return end(ws, "Invalid JSON: text frames only", 1003);
    t.frames++;
    t.size += size;
    // Any outside await opens the input gate: frames of one line wait for each other here.
    const mine = t.tail.then(() => this.#frame(ws, data));
    t.tail = mine;
    await mine.finally(() => {
      t.frames--;
      t.size -= size;
    });
  }

  async #frame(ws: WebSocket, raw: string): Promise<void> {
    const line = stateOf(ws);
    if (!line || ws.readyState !== WebSocket.OPEN) return;
    try {
      await onFrame(line, raw, this.#ports(ws));
    } catch (error) {
      this.#runtime.log("error", "session.frame_failed", { error: describe(error) });
      end(ws, "internal error: connect again", 1011);
    }
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
    const line = stateOf(ws);
    if (!line) return;
    this.#traffic.delete(line.id);
    if (line.held !== null) this.ctx.storage.kv.delete(held(line.id));
    if (line.home !== null && line.home !== line.own) {
      try {
        await sessionObject(this.env.SESSION, line.home).detach(line.id);
      } catch (error) {
        // The home finds out with its next delivery.
        this.#runtime.log("warn", "session.detach_failed", { error: describe(error) });
      }
    }
    if (!this.#wipe()) await this.#arm();
  }

  #trafficOf(line: string, now: number): Traffic {
    const t = this.#traffic.get(line) ?? newTraffic(now);
    this.#traffic.set(line, t);
    return t;
  }

  #ports(ws: WebSocket): DoorPorts {
    const { env } = this;
    const rt = this.#runtime;
    const home = (id: string): SessionMethods => sessionObject(env.SESSION, id);
    return {
      now_s: () => rt.clock.wall() / 1000,
      address: () => hostAddress(rt),
      claim: async (verified, owns_session) => {
        const address = await hostAddress(rt);
        const more = owns_session ? { owns_session } : {};
        const claim = await agentObject(env.AGENT, address!).claim(
          {
            signature_hash: verified.signature_hash,
            expires_s: verified.expires_s,
            ts_shape: verified.ts_shape,
            has_nonce: verified.has_nonce,
          },
          rt.clock.wall() / 1000,
          more,
        );
        if (claim === "down") throw new Error("The ledger did not answer.");
        return claim;
      },
      trust: (ask) => hostTrust(env, rt, ask),
      mayConnect: async (from) => (await env.SESSION_LIMIT.limit({ key: `address:${from}` })).success,
      ownerOf: (id) => home(id).owner(),
      statusFor: async (id, from) => (id === stateOf(ws)?.own ? this.#home.statusFor(from) : home(id).statusFor(from)),
      attach: (id, line, a) => this.#attach(id, line, a),
      command: (line, c) => this.#command(ws, line, c),
      blocked: (from) => hostBlocks(env, rt, from),
      admin: (_line, verified, action) => hostAdmin(env, rt, verified, action),
      hold: (line, raw) => {
        if (raw === null) this.ctx.storage.kv.delete(held(line));
        else this.ctx.storage.kv.put(held(line), raw);
      },
      held: (line) => this.ctx.storage.kv.get<string>(held(line)) ?? null,
      say: (frame) => write(ws, [JSON.stringify(frame)]),
      close: (code, reason) => close(ws, code, reason),
      save: (line, fresh) => {
        const now = stateOf(ws) ?? line;
        const { ping_at, epoch, n, seq, sent } = now;
        ws.serializeAttachment({ ...line, ping_at, ...(fresh ? {} : { epoch, n, seq, sent }) });
      },
    };
  }

  #attach(id: string, line: LineState, a: Omit<Attach, "acceptor" | "line">): Promise<boolean> {
    if (id === line.own) return this.#home.clients.attach({ ...a, line: line.id, acceptor: null });
    return this.#homeOf(id).attach({ ...a, line: line.id, acceptor: line.own });
  }

  #homeOf(id: string): SessionMethods {
    const stub = this.#homes.get(id) ?? sessionObject(this.env.SESSION, id);
    this.#homes.set(id, stub);
    return stub;
  }

  /** Hands a command to the line's home. A stub that failed is dropped; a home that does not know the line gets it again. */
  async #command(ws: WebSocket, line: LineState, c: Omit<Command, "acceptor" | "line">): Promise<void> {
    const home = line.home!;
    if (home === line.own) return this.#home.clients.command({ ...c, line: line.id, acceptor: null });
    const n = line.sent + 1;
    this.#remember(ws, { sent: n });
    for (let attempt = 0; attempt < 3; attempt++) {
      try {
        const stub = this.#homeOf(home);
        if (await stub.lentCommand(n, { ...c, line: line.id, acceptor: line.own })) return;
        const again = { session_id: home, from: c.from, session: null, announce: false, replay: "run" } as const;
        const last_msg_id = stateOf(ws)?.seq || null;
        if (!(await stub.attach({ ...again, line: line.id, acceptor: line.own, last_msg_id }))) break;
      } catch (error) {
        this.#homes.delete(home);
        this.#runtime.log("warn", "session.home_failed", { attempt, error: describe(error) });
      }
    }
    end(ws, "session unavailable: connect again", 1012);
  }

  /** Changes what is kept of a line without undoing what a delivery wrote meanwhile. */
  #remember(ws: WebSocket, change: Partial<LineState>): void {
    const line = stateOf(ws);
    if (line) ws.serializeAttachment({ ...line, ...change });
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
  }

  /** Frames from a line's home, for the socket held here. */
  deliver(d: Delivery): Delivered {
    const ws = this.ctx.getWebSockets(d.line)[0];
    const line = ws ? stateOf(ws) : null;
    if (!ws || !line || ws.readyState !== WebSocket.OPEN) return { ok: false, gone: true };
    const { write: texts, next, answer } = receive(line, d);
    if (next !== line) ws.serializeAttachment({ ...line, ...next });
    write(ws, texts);
    return answer;
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

  finish(runId: string, token: string, outcome: Outcome, seen: number): Promise<"ended" | "lost" | { more: string[] }> {
    return this.#home.runs.finish(runId, token, outcome, seen);
  }

  release(runId: string, token: string): void {
    this.#home.runs.release(runId, token);
  }

  giveUp(runId: string): Promise<boolean> {
    return this.#home.runs.giveUp(runId);
  }

  // Time: one alarm for the lines held here and whatever is due in the home.

  override async alarm(): Promise<void> {
    try {
      this.#ping();
      await this.#home.onAlarm();
      if (this.#wipe()) return;
    } catch (error) {
      this.#runtime.log("error", "session.alarm_failed", { error: describe(error) });
    }
    await this.#arm();
  }

  /** Leaves nothing of an object that holds nothing: one was made for every connection, and for every id somebody tried. */
  #wipe(): boolean {
    if (this.ctx.getWebSockets().some((ws) => ws.readyState === WebSocket.OPEN) || !this.#home.empty) return false;
    this.#wiped = true;
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
    const due = this.#home.dueAt();
    const next = Math.min(...pings, ...(due === null ? [] : [due]));
    const pending = await this.ctx.storage.getAlarm();
    if (!Number.isFinite(next)) {
      // With nothing due an alarm does nothing but find that out; taking it back costs as much as letting it ring.
      return;
    }
    if (pending === null || pending > next + SECOND || pending < now - SECOND)
      await this.ctx.storage.setAlarm(Math.max(next, now));
  }
}

/** Where the text of a CONNECT that waits for onboarding is kept. */
const held = (line: string): string => `held:${line}`;
