import { randomUUID } from "node:crypto";
import { verify } from "./drill-audit";
import type { Ask, End, Goal, LineView, Place, Point, Scene, SessionView } from "./drill-client.types";
import { get, note, turns } from "./drill-http";
import { connectFrame, DrillLine, signedCommand } from "./drill-line";
import { hearEvent, hearSeq, newAsk, othersIn } from "./drill-stream";
import type { Frame } from "./onion-host";
import { type Keys, keysOf } from "./onion-keys";

/**
 * A careful client, written from the protocol alone: it asks, loses its line, comes back with its session and cursor, and asks
 * again only what was never acknowledged. It holds each answer against what it may fetch.
 */

/**
 * An answer must be there this long after the last start of the runtime: an executor's lease lapses (30 s), and a queue message
 * that a kill has lost is sent again, later each time, ms.
 */
const PATIENCE = 120_000;
/** A record may say "running" this long after the agent behind the relay has answered, ms. */
const BEHIND = 2_500;
const STREAM = new Set(["thinking", "assistant", "tool_call", "tool_result", "llm_call", "llm_result"]);

export class DrillClient {
  readonly keys: Keys;
  readonly asks: Ask[] = [];
  readonly sessions: SessionView[] = [];
  current: Ask | null = null;
  line: DrillLine | null = null;
  #view: LineView | null = null;
  #connected: Frame | null = null;
  /** A SESSION_STATUS has come. */
  status = false;
  /** Its next loss of the line is not followed by another line: it polls, as the oldest clients do. */
  #polls = false;
  readonly #signs: boolean;

  constructor(
    readonly name: string,
    readonly place: Place,
    readonly scene: Scene,
  ) {
    this.keys = keysOf(`${name} ${randomUUID()}`);
    this.#signs = scene.random() < 0.5;
  }

  get session(): SessionView | null {
    return this.sessions.at(-1) ?? null;
  }

  fault(goal: Goal, what: string): void {
    this.scene.faults.push({ goal, what: `${this.name} (${this.place.kind}): ${what}` });
  }

  /** The network goes. */
  cut(): void {
    this.line?.cut();
  }

  /** Asks once, or twice at once, and does not return before it has the answer or has lost its patience. */
  async ask(): Promise<void> {
    const { random } = this.scene;
    if (random() < 0.15) this.#fresh();
    const two = this.place.kind !== "host" && random() < 0.15;
    const tokens = (two ? [0, 1] : [0]).map((i) => `${this.name}-${String(this.asks.length + i).padStart(4, "0")}`);
    const ask = newAsk(this.place.kind, tokens, (t) => this.place.prompt(t, random));
    this.asks.push(...tokens.map(() => ask));
    this.current = ask;
    this.#polls = !two && random() < 0.5;
    const asked = Date.now();
    while (ask.end === null && this.scene.waited(asked) < PATIENCE && !this.scene.stopped()) await this.#step(ask);
    if (this.scene.stopped()) return;
    if (ask.end === null)
      this.fault("stuck", `no answer to ${tokens} in ${PATIENCE / 1000} s, accepted ${ask.accepted}`);
    else await verify(this, ask, ask.end);
    this.session!.tokens.push(...tokens);
    this.session!.last = ask;
    this.current = null;
  }

  /** A new session next: the line it has belongs to the old one. */
  #fresh(): void {
    this.line?.leave();
    this.line = null;
    this.sessions.push({ id: "", kind: this.place.kind, tokens: [], last: null, lines: [], seq: 0 });
  }

  async #step(ask: Ask): Promise<void> {
    if (this.line?.open) {
      if (ask.sends === 0) this.#send(ask);
      await this.line.change(1_000);
      return;
    }
    this.line = null;
    if (this.#polls && ask.sends > 0) {
      await this.#poll(ask);
      return;
    }
    const back = await this.connect(ask);
    if (back === null) await new Promise((r) => setTimeout(r, 100 + this.scene.random() * 250));
    else if (ask.sends > 0) await this.#resume(ask, back);
  }

  #send(ask: Ask, only: string[] = ask.tokens): void {
    ask.session = this.session!.id;
    ask.sends++;
    for (const [i, prompt] of ask.prompts.entries()) {
      if (!only.includes(ask.tokens[i]!)) continue;
      const fields = { input_id: ask.inputs[i], prompt };
      const { address } = this.place;
      this.line?.send(
        this.#signs ? signedCommand(this.keys, address, "INPUT", fields) : { type: "INPUT", ...fields, to: address },
      );
    }
    this.#moment("before ack");
  }

  #moment(point: Point): void {
    this.scene.moment({ point, client: this.name, kind: this.place.kind });
  }

  /** A line that leads to the session, with its CONNECTED; null: not now. */
  async connect(ask: Ask | null, direct?: boolean): Promise<Frame | null> {
    const { scene, place } = this;
    if (this.sessions.length === 0) this.#fresh();
    const session = this.session!;
    const own = place.kind === "own";
    const straight = own && session.id !== "" && (direct ?? scene.random() < 0.3);
    const path = !own ? "/ws/input" : straight ? `/sessions/${session.id}/ws` : "/ws";
    const cursor = own ? (direct ? 0 : session.seq) : 0;
    this.#connected = null;
    this.#view = { path: straight ? "direct" : "stock", cursor, gap: false, seen: [] };
    const line = await DrillLine.open(scene.http.replace("http", "ws") + path, scene.random, (l, f, t) =>
      this.#hear(l, f, t),
    );
    if (!line) return null;
    this.line = line;
    const last = own ? (cursor > 0 ? String(cursor) : null) : (ask?.last_id ?? null);
    line.send(
      connectFrame(this.keys, place.address, this.#signs, !own, {
        ...(session.id === "" ? {} : { session_id: session.id }),
        ...(last === null ? {} : { last_msg_id: last }),
      }),
    );
    const connected = await line.until(() => this.#connected, 8_000);
    if (!connected) {
      if (line.open) note(scene, "no CONNECTED");
      line.cut();
      return null;
    }
    if (own) session.lines.push(this.#view);
    return connected;
  }

  #hear(line: DrillLine, frame: Frame, text: string): void {
    const type = String(frame["type"]);
    for (const other of othersIn(text, this.name)) this.fault("crossed", `a frame ${type} of ${other}`);
    const id = frame["session_id"];
    const owner = this.scene.owners.get(String(id));
    if (owner !== undefined && owner !== this.name)
      this.fault("crossed", `a frame ${type} of ${owner}'s session ${id}`);
    // What still comes of a line that was left is nobody's business.
    if (line !== this.line) return;
    if (type === "CONNECTED") this.#welcome(frame, String(id));
    if (type === "PING") line.send({ type: "PONG" });
    if (type === "SESSION_STATUS") this.status = true;
    if (type === "gap") this.#gap();
    if (typeof frame["seq"] === "number" && this.place.kind === "own") hearSeq(this.session!, this.#view!, frame);
    const ask = this.current;
    if (!ask || ask.sends === 0) return;
    if (type === "RUNTIME_INPUT_ACK") ask.accepted ??= "ack";
    else if (type === "ERROR") this.#error(line, ask, frame);
    else if (type === "OUTPUT") this.#output(ask, frame, text);
    else if (STREAM.has(type)) this.#event(ask, frame);
  }

  #welcome(frame: Frame, id: string): void {
    const session = this.session!;
    if (session.id !== "" && session.id !== id) this.fault("lost", `session ${session.id} is refused to its owner`);
    session.id = id;
    this.scene.owners.set(id, this.name);
    this.#connected = frame;
  }

  #gap(): void {
    if (this.#view) this.#view.gap = true;
    if (this.current) this.current.signalled = true;
    note(this.scene, "gap signal");
  }

  #event(ask: Ask, frame: Frame): void {
    // A direct line replays runs that are over, too; agents behind the relay name the token.
    if (ask.kind === "host" && !String(frame["content"]).includes(ask.tokens[0]!)) return;
    ask.accepted ??= "event";
    if (ask.kind === "host") {
      const wrong = hearEvent(ask, frame);
      if (wrong) this.fault(wrong.goal, `${ask.tokens[0]}: ${wrong.what}`);
      this.#moment("mid-stream");
      return;
    }
    ask.said ||= frame["type"] === "assistant";
    this.#moment(ask.said ? "before delivery" : "mid-stream");
  }

  #output(ask: Ask, frame: Frame, text: string): void {
    if (!ask.inputs.includes(String(frame["input_id"]))) return;
    ask.accepted ??= "event";
    const result = String(frame["result"]);
    if (!ask.results.includes(result)) ask.results.push(result);
    if (ask.results.length > ask.tokens.length)
      this.fault("doubled", `${ask.tokens} has ${ask.results.length} results`);
    if (ask.kind === "host" && !ask.signalled && ask.last !== Number(/counted (\d+)$/.exec(result)?.[1]))
      this.fault("gap", `${ask.tokens[0]}: ended after event ${ask.last}: ${result}`);
    for (const t of ask.tokens) if (text.includes(t)) ask.answered.add(t);
    if (ask.answered.size === ask.tokens.length) this.#end(ask, { status: "done", result, how: "line" });
  }

  #end(ask: Ask, end: End): void {
    ask.end ??= end;
    if (end.result !== null && !ask.results.includes(end.result)) ask.results.push(end.result);
  }

  #error(line: DrillLine, ask: Ask, frame: Frame): void {
    const words = String(frame["error"] ?? frame["message"]);
    note(this.scene, words);
    if (words.startsWith("frames were lost")) ask.signalled = true;
    const ours = ask.inputs.includes(String(frame["input_id"]));
    if (ours && frame["code"] === -32603) {
      const status = words === "interrupted" ? "interrupted" : "failed";
      this.#end(ask, { status, result: null, how: "line" });
    } else line.leave();
  }

  /** Back on a line with something sent before: what became of it? */
  async #resume(ask: Ask, connected: Frame): Promise<void> {
    if (ask.end !== null) return;
    const said = turns(connected);
    const missing = ask.tokens.filter((t) => !said.some((x) => x.user.includes(t)));
    if (connected["status"] === "running") {
      ask.accepted ??= "connected";
      if (ask.kind === "own" || (ask.kind === "legacy" && ask.tokens.length > 1)) this.#send(ask, missing);
      return;
    }
    // It does not run. The same input_id is the same INPUT to the built-in agent, so it may come again at any time.
    if (ask.kind === "own") {
      if (this.scene.random() < 0.5 && ask.tokens.length === 1 && (await this.#polled(ask))) return;
      return this.#send(ask);
    }
    if (missing.length < ask.tokens.length) ask.accepted ??= "connected";
    for (const t of ask.tokens) {
      const answer = said.findLast((x) => x.user.includes(t) && x.answer?.includes(t))?.answer;
      if (typeof answer !== "string") continue;
      ask.answered.add(t);
      if (!ask.results.includes(answer)) ask.results.push(answer);
    }
    if (ask.answered.size === ask.tokens.length)
      return this.#end(ask, { status: "done", result: ask.results.join("\n\n"), how: "connected" });
    // Taken and not answered: cut off. What was sent behind it and never taken is not asked again.
    if (ask.tokens.some((t) => !ask.answered.has(t) && !missing.includes(t)))
      return this.#end(ask, { status: "interrupted", result: null, how: "connected" });
    if (ask.accepted !== null && missing.length === ask.tokens.length) {
      // A first run leaves no history when it is cut off; the record has it then.
      if (await this.#polled(ask)) return;
      this.fault(
        "lost",
        `${ask.tokens} was acknowledged (${ask.accepted}) and nobody knows it: ${JSON.stringify(connected).slice(0, 300)}`,
      );
    }
    this.#send(ask, missing);
  }

  /** True when the record is of this ask, and over. */
  async #polled(ask: Ask): Promise<boolean> {
    const found = await get(this.scene, `/sessions/${this.session!.id}`, this.keys);
    const { status, result, prompt } = found?.body ?? {};
    const mine = [result, prompt].some((x) => typeof x === "string" && x.includes(ask.tokens[0]!));
    if (found?.code !== 200 || status === "running") return false;
    if (status === "done" && mine) this.#end(ask, { status: "done", result: String(result), how: "poll" });
    // Only the built-in agent and 0.6.5's end for good with us; a newer agent knows better when it is asked.
    else if (status !== "done" && ask.accepted !== null && (mine || ask.kind === "legacy") && ask.kind !== "host")
      this.#end(ask, { status: status as End["status"], result: null, how: "poll" });
    return ask.end !== null;
  }

  /** Polls instead of connecting, as long as the record says that it runs. */
  async #poll(ask: Ask): Promise<void> {
    const began = Date.now();
    const slow = (): boolean => {
      if (ask.kind === "own") return this.scene.waited(began) > PATIENCE;
      return Date.now() - (this.scene.answered.get(ask.prompts[0]!) ?? Date.now()) > BEHIND;
    };
    while (!(await this.#polled(ask))) {
      const late = slow();
      const found = await get(this.scene, `/sessions/${this.session!.id}`, this.keys);
      if (found?.body["status"] !== "running" || this.scene.stopped()) break;
      if (late) {
        this.fault("stuck", `${ask.tokens} (accepted ${ask.accepted}) runs for ever by its record`);
        break;
      }
      await new Promise((r) => setTimeout(r, 150));
    }
    this.#polls = false;
  }
}
