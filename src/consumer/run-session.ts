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
} from "../reason";
import { RUN_BEAT, type StreamFrame } from "../session";
import type { ConsumerEnv } from "./env";
import { askDeps } from "./run-ask";
import type { RunResult } from "./runs.consumer";

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
    const answers: string[] = [];
    let prompts = claimed.prompts;
    for (;;) {
      for (const prompt of prompts) {
        const n = answers.length;
        const question = prompt.slice(0, MAX_QUESTION).toWellFormed();
        const ask = { id: `session:${runId}:${n}`, source: "api" as const, question };
        // No tools of other servers here: what they can read is for operators, not for every client trust lets in.
        const answer = await answerAsk({ ...deps, engine: told(deps.engine, stream), remote: async () => [] }, ask);
        answers.push(answer.text);
        tellAnswer(stream, answer, runtime);
      }
      if (!(await stream.flush())) return { done: true };
      const outcome = { status: "done" as const, result: answers.join("\n\n"), error: null };
      const finished = await again(() => sessionOf(env, sessionId).finish(runId, token, outcome, answers.length));
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
