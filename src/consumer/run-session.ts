import { type SessionMethods, sessionObject } from "../../durable-objects/session.stub";
import { describe } from "../kernel/errors";
import type { Runtime } from "../kernel/runtime";
import {
  type Answer,
  answerAsk,
  BY_RULES,
  type Engine,
  type EngineCall,
  MAX_QUESTION,
  signature,
  type Tool,
  type Wish,
  wishOf,
  wishTool,
  withoutPrefix,
} from "../reason";
import { RUN_BEAT, type StreamFrame } from "../session";
import type { ConsumerEnv } from "./env";
import { askDeps } from "./run-ask";
import type { RunResult } from "./runs.consumer";
import { blockedEvent, type Progress, progressOf, settleWish } from "./session-wish";

/** The session's object in the edge Worker. */
const sessionOf = (env: ConsumerEnv, id: string): SessionMethods => sessionObject(env.SESSION, id);

/**
 * Queue `runs`, kind `session_run`: one input of a session to its result. The run is leased from the session's object and ended
 * there once; what dies on the way is taken up again by whoever claims it next, and a model that was asked is not asked twice.
 */
export async function runSession(sessionId: string, runId: string, env: ConsumerEnv): Promise<RunResult> {
  const deps = askDeps(env);
  const { runtime } = deps;
  const token = crypto.randomUUID();
  const claimed = await sessionOf(env, sessionId).claim(runId, token);
  if (claimed.state === "busy") return { done: false, retry_at: claimed.retry_at };
  if (claimed.state !== "mine") return { done: true };
  const stream = new Stream(env, sessionId, runId, token, runtime);
  // A model may think for a minute without an event: this says that its executor lives.
  const beat = setInterval(() => stream.beat(), RUN_BEAT);
  try {
    const { owner } = await sessionOf(env, sessionId).actor();
    const work = progressOf(claimed.resume);
    let prompts = claimed.prompts.slice(work.texts.length);
    for (;;) {
      if (work.wish && !(await settle(work, { env, owner, sessionId, runId, token, stream, runtime })))
        return { done: true };
      const prompt = prompts.shift();
      if (prompt !== undefined) {
        const question = withoutPrefix(prompt).slice(0, MAX_QUESTION).toWellFormed();
        const { admin } = await sessionOf(env, sessionId).actor();
        const wish = await wishOf(deps, question);
        if (wish && admin) work.texts.push("");
        else {
          if (wish) stream.emit(blockedEvent());
          const wanted: Wish[] = [];
          // No tools of other servers here: what they can read is for operators, not for every client trust lets in.
          const tools = admin ? [wishTool(deps, (w) => wanted.push(w))] : [];
          const ask = { id: `session:${runId}:${work.texts.length}`, source: "api" as const, question };
          const answer = await answerAsk(
            { ...deps, engine: told(deps.engine, stream), remote: async () => tools },
            ask,
          );
          work.texts.push(answer.text);
          tellAnswer(stream, answer, runtime);
          work.wish = wanted[0] ?? null;
        }
        if (wish && admin) work.wish = wish;
        continue;
      }
      if (!(await stream.flush())) return { done: true };
      const outcome = { status: "done" as const, result: work.texts.join("\n\n"), error: null };
      const finished = await again(() => sessionOf(env, sessionId).finish(runId, token, outcome, work.texts.length));
      if (typeof finished === "string") {
        runtime.log("info", "session.run_done", { session: sessionId, run: runId, state: finished });
        return { done: true };
      }
      prompts = finished.more;
    }
  } catch (error) {
    // The next try need not wait for this one's lease.
    await sessionOf(env, sessionId)
      .release(runId, token)
      .catch(() => {});
    throw error;
  } finally {
    clearInterval(beat);
  }
}

interface Settling {
  env: ConsumerEnv;
  owner: string | null;
  sessionId: string;
  runId: string;
  token: string;
  stream: Stream;
  runtime: Runtime;
}

/** Settles what the last text wants to have done. False: the run waits for its client, or is somebody else's now. */
async function settle(work: Progress, s: Settling): Promise<boolean> {
  const { wish } = work;
  if (!wish) return true;
  // What was told before the question comes before it.
  if (!(await s.stream.flush())) return false;
  const outcome = await settleWish(
    {
      env: s.env,
      owner: s.owner ?? "",
      mayAct: async () => (await sessionOf(s.env, s.sessionId).actor()).admin,
      run: s.runId,
      runtime: s.runtime,
      ask: (question) => sessionOf(s.env, s.sessionId).ask(s.runId, s.token, question),
      emit: (event) => s.stream.emit(event),
    },
    wish,
    work,
  );
  if (outcome === null) return false;
  Object.assign(work, { wish: null, asked_at: null } satisfies Partial<Progress>);
  const before = work.texts.at(-1) ?? "";
  work.texts[work.texts.length - 1] = before === "" ? outcome : `${before}\n${outcome}`;
  s.stream.emit({ type: "assistant", content: outcome });
  return true;
}

/** Every try of its message failed: the run ends with that, told to whoever is connected. */
export const abandonSessionRun = (sessionId: string, runId: string, env: ConsumerEnv): Promise<boolean> =>
  sessionOf(env, sessionId).giveUp(runId);

function tellAnswer(stream: Stream, answer: Answer, { clock }: Runtime): void {
  if (answer.engine === BY_RULES)
    stream.emit({ type: "thinking", kind: "rules", content: `${signature(answer, clock.now())}.` });
  stream.emit({ type: "assistant", content: answer.text });
}

/** Once more when the call was lost with its object: what it did is found there, and is not done twice. */
async function again<T>(call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch {
    return call();
  }
}

/** The engine, telling what it does as it does it. */
function told(engine: Engine, stream: Stream): Engine {
  return {
    ...engine,
    call: async (call: EngineCall) => {
      const id = crypto.randomUUID();
      stream.emit({ type: "llm_call", id, model: call.model, status: "running" });
      const result = await engine.call({ ...call, tools: call.tools.map((t) => toldTool(t, stream)) });
      const usage = result.usage ? { input_tokens: result.usage.input, output_tokens: result.usage.output } : undefined;
      stream.emit({
        type: "llm_result",
        id,
        model: result.model ?? call.model,
        status: result.ok ? "success" : "error",
        duration_ms: result.ms,
        ...(usage ? { usage } : {}),
      });
      return result;
    },
  };
}

/** A tool's result is told by its size: the rows it read are for the model, the client gets the answer. */
function toldTool(tool: Tool, stream: Stream): Tool {
  return {
    ...tool,
    run: async (input) => {
      const tool_id = crypto.randomUUID();
      const began = performance.now();
      stream.emit({ type: "tool_call", tool_id, name: tool.name, args: input, status: "running" });
      const tell = (status: "success" | "error", result: string): void =>
        stream.emit({
          type: "tool_result",
          tool_id,
          name: tool.name,
          status,
          result,
          timing_ms: Math.round(performance.now() - began),
        });
      try {
        const output = await tool.run(input);
        tell("success", `${JSON.stringify(output ?? null).length} characters`);
        return output;
      } catch (error) {
        tell("error", "failed");
        throw error;
      }
    },
  };
}

/** Events on their way to the session's object: those that come while a call is under way go together in the next one. */
class Stream {
  #waiting: StreamFrame[] = [];
  #sending: Promise<void> | null = null;
  #lost = false;
  #beat = false;

  constructor(
    private readonly env: ConsumerEnv,
    private readonly session: string,
    private readonly run: string,
    private readonly token: string,
    private readonly runtime: Runtime,
  ) {}

  emit(event: { type: string; id?: string } & Record<string, unknown>): void {
    const { clock, redact } = this.runtime;
    const frame = { ...event, id: event.id ?? crypto.randomUUID(), ts: clock.wall() / 1000 };
    this.#waiting.push(redact.json(frame) as StreamFrame);
    this.#sending ??= this.#send();
  }

  /** Draws the lease out; nothing is logged by it. */
  beat(): void {
    this.#beat = true;
    this.#sending ??= this.#send();
  }

  async #send(): Promise<void> {
    // A tick's events are one commit.
    await Promise.resolve();
    while ((this.#waiting.length > 0 || this.#beat) && !this.#lost) {
      const events = this.#waiting;
      this.#waiting = [];
      this.#beat = false;
      try {
        this.#lost = !(await again(() => sessionOf(this.env, this.session).events(this.run, this.token, events)));
      } catch (error) {
        // An event is worth less than the answer: the run goes on, and its end is what counts.
        this.runtime.log("warn", "session.events_lost", {
          session: this.session,
          n: events.length,
          error: describe(error),
        });
      }
    }
    this.#sending = null;
  }

  /** Everything told so far has arrived or is given up; false when the run is somebody else's now. */
  async flush(): Promise<boolean> {
    while (this.#sending) await this.#sending;
    return !this.#lost;
  }
}
