import { chatItems, clientSession, hasContent } from "./conversation";
import type { HomeCore } from "./home.core";
import { both, control, endFrame, MODES, SESSION_NOT_FOUND, texts } from "./home.frames";
import type { Attach, Command, Submitted } from "./home.types";
import type { Out } from "./lending";
import { logAfter, logEnds, readCursor } from "./log";
import { mergeSessions } from "./merge";
import { isOver, type RunRow } from "./results";
import { acceptInput, answerQuestion, liveRun, newestRun, type Question } from "./run";

/** A session's home as its clients see it: lines, inputs, answers to questions, modes. */
export class HomeClients {
  constructor(private readonly core: HomeCore) {}

  /** Attaches a line. False: the session belongs to another address, and nothing of it was told. */
  async attach(a: Attach): Promise<boolean> {
    const { sql, clock } = this.core.p;
    this.core.expire();
    const state = this.core.read();
    if (state?.owner && state.owner !== a.from) return false;
    const client = clientSession(a.session);
    const merged = mergeSessions(client, state?.session ?? null);
    if (merged.winner === "client" && client && hasContent(client))
      this.core.save({
        ...(state ?? this.core.fresh(a.session_id, clock.now())),
        owner: a.from,
        session: { ...merged.session, session_id: a.session_id },
      });
    const run = liveRun(sql);
    const outs: Out[] = [];
    if (a.announce) {
      const newer = merged.server_newer && state !== null && hasContent(state.session);
      const status = run ? "running" : state ? "connected" : "new";
      outs.push(
        control({
          type: "CONNECTED",
          session_id: a.session_id,
          status,
          session_modes: MODES,
          ...(newer ? { server_newer: true, session: state.session, chat_items: chatItems(state.session) } : {}),
        }),
      );
    }
    outs.push(...this.#replay(a, run));
    if (a.acceptor === null) {
      this.core.p.ownLine(a.line, texts(outs));
      return true;
    }
    this.core.lending.add({ id: a.line, acceptor: a.acceptor, from: a.from });
    const last = logEnds(sql).last;
    // Whatever was replayed or left out: the line stands at the log's end now.
    await this.core.lending.push(a.line, last > 0 ? [...outs, { seq: last, text: "" }] : outs);
    return true;
  }

  #replay(a: Attach, run: RunRow | null): Out[] {
    const { sql } = this.core.p;
    if (a.replay === "run" && !run) return [];
    const cursor = readCursor(sql, a.last_msg_id);
    const logged = logAfter(sql, cursor.after).filter((f) => a.replay === "all" || f.run === run?.id);
    const outs: Out[] = [];
    if (cursor.gap) {
      const first = logged[0]?.seq ?? null;
      outs.push(control({ type: "gap", session_id: a.session_id, last_msg_id: a.last_msg_id, first_seq: first }));
    }
    // Frames go out in order and each once, so their numbers must not pass the line's mark: the mark follows them.
    outs.push(...this.core.outs(logged));
    if (run?.pending) {
      const { frame } = JSON.parse(run.pending) as Question;
      if (!logged.some((f) => f.text.includes(`"id":${JSON.stringify(frame.id)}`)))
        outs.push(control({ ...frame, session_id: a.session_id }));
    }
    return outs;
  }

  detach(line: string): void {
    this.core.lending.remove(line);
  }

  /** A command of a lent line, numbered by its acceptor. False: the line is not known here (it must attach again). */
  async lentCommand(n: number, command: Command): Promise<boolean> {
    const fresh = this.core.lending.hear(command.line, n);
    if (fresh === null) return false;
    if (fresh) await this.command(command);
    return true;
  }

  async command(c: Command): Promise<void> {
    switch (c.frame.type) {
      case "INPUT":
        return this.#input(c);
      case "mode_change":
        return this.#mode(c);
      case "INTERRUPT":
        return this.#interrupt(c);
      case "EXEC":
        return this.core.say(c, {
          type: "EXEC_RESULT",
          exec_id: c.frame["exec_id"],
          tool: c.frame["tool"],
          status: "error",
          error: `tool not allowed: this agent runs no tool for clients`,
          duration_ms: 0,
        });
      default:
        return this.#answer(c);
    }
  }

  async #input(c: Command): Promise<void> {
    const prompt = c.frame["prompt"];
    const inputId = c.frame["input_id"];
    const taken = this.#accept(
      c.from,
      String(prompt ?? ""),
      typeof inputId === "string" ? inputId : null,
      String(c.frame["session_id"]),
    );
    if (taken === null) return this.core.say(c, SESSION_NOT_FOUND);
    const { run, how } = taken;
    const session_id = String(c.frame["session_id"]);
    if (how === "full")
      return this.core.say(c, { type: "ERROR", ...both("Session is busy"), code: -32000, retryable: true, session_id });
    if (how === "joined" || (how === "again" && !isOver(run.status)))
      return this.core.say(c, { type: "RUNTIME_INPUT_ACK", session_id, id: inputId ?? run.id });
    if (how === "again") return this.#sayEnd(c, run);
    await this.core.started(run);
  }

  /** Writes an accepted input; null: the session is another's. */
  #accept(from: string, prompt: string, inputId: string | null, sessionId: string) {
    const { sql, clock } = this.core.p;
    const at = clock.now();
    this.core.expire();
    const state = this.core.read() ?? this.core.fresh(sessionId, at);
    if (state.owner && state.owner !== from) return null;
    if (state.owner === null) this.core.save({ ...state, owner: from });
    return acceptInput(sql, { run_id: crypto.randomUUID(), input_id: inputId, prompt, at });
  }

  /** `POST /input`: the run's end, or why not. */
  async submit(
    from: string,
    sessionId: string,
    prompt: string,
    inputId: string | null,
    session: unknown,
  ): Promise<Submitted> {
    const { sql, clock } = this.core.p;
    this.core.expire();
    const state = this.core.read();
    if (state?.owner && state.owner !== from) return { state: "not_found" };
    const known = inputId === null ? null : newestRun(sql);
    if (liveRun(sql) && known?.input_id !== inputId) return { state: "busy" };
    const client = clientSession(session);
    if (client && hasContent(client)) {
      const merged = mergeSessions(client, state?.session ?? null);
      this.core.save({
        ...(state ?? this.core.fresh(sessionId, clock.now())),
        owner: from,
        session: { ...merged.session, session_id: sessionId },
      });
    }
    const taken = this.#accept(from, prompt, inputId, sessionId)!;
    if (taken.how === "started") await this.core.started(taken.run);
    return { state: "accepted", run_id: taken.run.id };
  }

  async #mode(c: Command): Promise<void> {
    const { clock } = this.core.p;
    const mode = c.frame["mode"];
    const session_id = String(c.frame["session_id"]);
    if (typeof mode !== "string" || !MODES.includes(mode))
      return this.core.say(c, { type: "ERROR", ...both(`unknown mode: one of ${MODES.join(", ")}`), session_id });
    const state = this.core.read() ?? this.core.fresh(session_id, clock.now());
    if (state.owner && state.owner !== c.from) return this.core.say(c, SESSION_NOT_FOUND);
    this.core.save({ ...state, owner: c.from, mode, session: { ...state.session, session_id, mode } });
    await Promise.all([
      this.core.p.arm(),
      this.core.broadcast(c.from, [control({ type: "mode_changed", mode, session_id })]),
    ]);
  }

  async #interrupt(c: Command): Promise<void> {
    const { sql } = this.core.p;
    const run = liveRun(sql);
    const session_id = String(c.frame["session_id"]);
    if (!run || this.core.read()?.owner !== c.from)
      return this.core.say(c, { type: "ERROR", ...both("no active turn"), session_id });
    await this.core.end(run, { status: "interrupted", result: null, error: "interrupted" });
  }

  /** The client's answer to the one question that waits. A second answer, or one nobody asked for, changes nothing. */
  async #answer(c: Command): Promise<void> {
    const { sql, clock } = this.core.p;
    const state = this.core.read();
    if (!state || state.owner !== c.from) return;
    if (c.frame.type === "APPROVAL_RESPONSE" && !c.may_approve)
      return this.core.say(c, { type: "ERROR", ...both("forbidden: only contacts may approve"), session_id: state.id });
    const { type, payload: _p, from: _f, signature: _s, ...answer } = c.frame;
    const taken = answerQuestion(sql, type, answer, clock.now());
    if (!taken) return;
    if (answer["scope"] === "session" && answer["approved"] === true)
      this.core.save({ ...state, granted: { ...state.granted, [String(taken.question.frame["tool"])]: answer } });
    await this.core.started(taken.run);
  }

  /** A run that ended before this input came again: its end, to the line that asks. */
  #sayEnd(c: Command, run: RunRow): void {
    const frame = endFrame(run, run.finished ?? run.created);
    this.core.say(c, JSON.parse(this.core.dress(JSON.stringify(frame), null)) as object);
  }
}
