import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { APICallError, dynamicTool, generateText, type LanguageModel, stepCountIs, type ToolSet } from "ai";
import { utf8 } from "../kernel/crypto";
import { clip, describe } from "../kernel/errors";
import { readCapped } from "../kernel/http";
import type { Runtime } from "../kernel/runtime";
import { inputBound, TOOL_BYTES } from "./budget";
import { type ModelRef, resolveModel } from "./models";
import { settingsOf } from "./spend";
import type { Engine, EngineCall, EngineFail, EngineOk, EngineResult, ReasoningError, Tool, Usage } from "./types";
import { type AiBinding, workersAiFetch } from "./workers-ai";

/** The engine over the `ai` library. The consumer alone imports this file: the edge never holds an LLM key. */

/** Wall ms a call may take at most, tool rounds included (`kora-watch.md` §7). */
const LONGEST = 60_000;
/** An answer is some kilobytes; a provider that sends more than this is not believed. */
const MAX_ANSWER = 4 * 1024 * 1024;
/** Of one tool result. */
const MAX_RESULT = 8 * 1024;

// The library would print hints about unsupported settings; our log is JSON lines.
(globalThis as { AI_SDK_LOG_WARNINGS?: boolean }).AI_SDK_LOG_WARNINGS = false;

/** The engine of a runtime. Its name is `none` when nothing is configured; then every call answers `unconfigured`. */
export function makeEngine(runtime: Runtime, bindings: { AI?: AiBinding | undefined } = {}): Engine {
  const settings = settingsOf(runtime);
  return {
    name: settings.engine,
    small: settings.small?.model ?? null,
    large: settings.large?.model ?? null,
    call: (call) => run(runtime, bindings.AI, call),
  };
}

async function run(runtime: Runtime, ai: AiBinding | undefined, call: EngineCall): Promise<EngineResult> {
  const started = performance.now();
  const attempt = new Attempt(runtime, call);
  const fail = (error: ReasoningError, detail: string): EngineFail => ({
    ok: false,
    error,
    detail: runtime.redact.text(clip(detail, 300)),
    model: attempt.model,
    usage: attempt.usage,
    ms: performance.now() - started,
  });
  const resolved = resolveModel(call.model);
  if (!resolved.ok) return fail("unconfigured", resolved.why);
  const model = languageModel(runtime, ai, resolved);
  if (typeof model === "string") return fail("unconfigured", model);
  attempt.model = resolved.model;

  const limit = Math.max(1, Math.min(call.timeout_ms, LONGEST));
  const abort = new AbortController();
  let timer: ReturnType<typeof setTimeout> | null = null;
  const timeout = new Promise<"timeout">((resolve) => {
    timer = setTimeout(() => {
      resolve("timeout");
      abort.abort();
    }, limit);
  });
  try {
    // The library hands the signal to tools but waits for them; the race ends the call whatever they do.
    const result = await Promise.race([attempt.generate(model, abort.signal), timeout]);
    if (result === "timeout") return fail("sdk_timeout", `No answer within ${limit} ms.`);
    const text = result.text.trim();
    const truncated = result.finishReason === "length";
    if (text === "")
      return truncated
        ? fail("truncated", `The answer was cut at ${call.max_output_tokens} tokens before its first word.`)
        : fail(
            "empty_response_text",
            result.finishReason === "tool-calls"
              ? `The model still called tools in step ${call.max_steps}, its last one.`
              : `The model said nothing (${result.finishReason}).`,
          );
    const ok: EngineOk = {
      ok: true,
      text,
      model: resolved.model,
      provider: resolved.provider,
      usage: attempt.usage ?? attempt.bound(1),
      ms: performance.now() - started,
      truncated,
      tool_calls: attempt.toolCalls,
    };
    return ok;
  } catch (error) {
    return abort.signal.aborted ? fail("sdk_timeout", `No answer within ${limit} ms.`) : fail(...failureOf(error));
  } finally {
    clearTimeout(timer);
  }
}

/** One call while it runs: what it used so far survives a later step's failure. */
class Attempt {
  model: string | null = null;
  usage: Usage | null = null;
  readonly toolCalls: EngineOk["tool_calls"] = [];
  private toolBytes = 0;
  private steps = 0;

  constructor(
    private readonly runtime: Runtime,
    private readonly call: EngineCall,
  ) {}

  generate(model: Exclude<LanguageModel, string>, abortSignal: AbortSignal) {
    const { call } = this;
    const tools: ToolSet = Object.fromEntries(call.tools.map((t) => [t.name, this.wrap(t)]));
    return generateText({
      model,
      system: call.system,
      prompt: call.prompt,
      ...(call.tools.length > 0 ? { tools } : {}),
      stopWhen: stepCountIs(call.max_steps),
      maxOutputTokens: call.max_output_tokens,
      // A call that may have been billed is never repeated by itself.
      maxRetries: 0,
      abortSignal,
      ...(call.request_id ? { headers: { "x-request-id": call.request_id } } : {}),
      onStepFinish: (step) => {
        this.steps++;
        this.count(step.usage);
        for (const part of step.content)
          if (part.type === "tool-error")
            this.toolCalls.push({
              name: part.toolName,
              input: part.input,
              output: { error: this.runtime.redact.text(clip(describe(part.error), 300)) },
            });
      },
    });
  }

  /** Upper bound of what `steps` steps used, for a provider that does not say. */
  bound(steps: number): Usage {
    const { call } = this;
    const input = inputBound([call.system, call.prompt], call.tools.length) + (call.tools.length > 0 ? TOOL_BYTES : 0);
    return { input: steps * input, output: steps * call.max_output_tokens, cache_write: 0, cache_read: 0 };
  }

  private count(u: Awaited<ReturnType<typeof generateText>>["usage"]): void {
    const read = u.inputTokenDetails.cacheReadTokens ?? 0;
    const write = u.inputTokenDetails.cacheWriteTokens ?? 0;
    const unsaid = u.inputTokens === undefined || u.outputTokens === undefined || u.inputTokens + u.outputTokens === 0;
    const step: Usage = unsaid
      ? this.bound(1)
      : {
          input: u.inputTokenDetails.noCacheTokens ?? Math.max(0, u.inputTokens! - read - write),
          output: u.outputTokens!,
          cache_write: write,
          cache_read: read,
        };
    const sum = this.usage ?? { input: 0, output: 0, cache_write: 0, cache_read: 0 };
    this.usage = {
      input: sum.input + step.input,
      output: sum.output + step.output,
      cache_write: sum.cache_write + step.cache_write,
      cache_read: sum.cache_read + step.cache_read,
    };
  }

  /** A tool as the model may use it: its input checked by schema, its output redacted and cut, its throw told as text. */
  private wrap(t: Tool) {
    return dynamicTool({
      description: t.description,
      inputSchema: t.input,
      execute: async (input) => {
        const output = await this.use(t, input);
        this.toolCalls.push({ name: t.name, input, output });
        return output;
      },
    });
  }

  private async use(t: Tool, input: unknown): Promise<string> {
    if (this.toolBytes >= TOOL_BYTES) return "No more tool results fit. Answer now.";
    let text: string;
    try {
      text = JSON.stringify(this.runtime.redact.json(await t.run(input))) ?? "null";
    } catch (error) {
      text = `Error: ${this.runtime.redact.text(clip(describe(error), 300))}`;
    }
    const room = Math.min(MAX_RESULT, TOOL_BYTES - this.toolBytes);
    const cut = clipBytes(text, room);
    this.toolBytes += utf8(cut).length;
    // Two steps before the end the model hears that this was its last round; else its last step would be one more call.
    return this.steps >= this.call.max_steps - 2 ? `${cut}\n(That was the last tool round. Answer now.)` : cut;
  }
}

/** Cuts a text at `max` bytes of UTF-8, between characters. */
function clipBytes(text: string, max: number): string {
  const bytes = utf8(text);
  if (bytes.length <= max) return text;
  return `${new TextDecoder().decode(bytes.subarray(0, Math.max(0, max))).replace(/\uFFFD$/, "")}… (cut)`;
}

function languageModel(
  runtime: Runtime,
  ai: AiBinding | undefined,
  ref: ModelRef,
): Exclude<LanguageModel, string> | string {
  const { anthropic, openai } = settingsOf(runtime);
  if (ref.provider === "anthropic") {
    if (anthropic.key === "") return `${ref.model} needs REVEILLE_ANTHROPIC_API_KEY.`;
    if (anthropic.url === "") return `${ref.model} needs a usable REVEILLE_ANTHROPIC_BASE_URL.`;
    return createAnthropic({ apiKey: anthropic.key, baseURL: anthropic.url, fetch: guarded(fetch) })(ref.model);
  }
  if (ref.provider === "openai-compatible") {
    if (openai.key === "") return `${ref.model} needs REVEILLE_LLM_API_KEY.`;
    if (openai.url === "") return `${ref.model} needs a usable REVEILLE_LLM_BASE_URL.`;
    return createOpenAICompatible({
      name: "openai-compatible",
      apiKey: openai.key,
      baseURL: openai.url,
      fetch: guarded(fetch),
      transformRequestBody: newerLimit,
    })(ref.model);
  }
  if (!ai) return `${ref.model} needs the binding AI.`;
  return createOpenAICompatible({
    name: "workers-ai",
    baseURL: "https://workers-ai.invalid/v1",
    fetch: workersAiFetch(ai),
  })(ref.model);
}

/** OpenAI's reasoning models refuse `max_tokens`; other endpoints know nothing else. */
function newerLimit(body: Record<string, unknown>): Record<string, unknown> {
  const { max_tokens, ...rest } = body;
  const newer = /^(o[134](-|$)|gpt-[5-9])/.test(String(body["model"]));
  return newer && max_tokens !== undefined ? { ...rest, max_completion_tokens: max_tokens } : body;
}

/** Requests carry a key, so no redirect is followed; an answer of any size is not read. */
function guarded(send: typeof fetch): typeof fetch {
  return async (input, init) => {
    const response = await send(input, { ...init, redirect: "manual" } as RequestInit);
    const { bytes, truncated } = await readCapped(response.body as ReadableStream<Uint8Array> | null, MAX_ANSWER);
    if (truncated) throw new Error(`The answer is larger than ${MAX_ANSWER / 1024 / 1024} MiB.`);
    const bodyless = response.status === 204 || response.status === 304;
    return new Response(bodyless ? null : bytes, { status: response.status, headers: response.headers });
  };
}

/** The code of a failure (`kora-watch.md` §6) and one line of what it was. Response bodies are not quoted: they may echo the prompt. */
function failureOf(error: unknown): [ReasoningError, string] {
  if (!APICallError.isInstance(error)) return ["sdk_transport", describe(error)];
  const status = error.statusCode;
  const detail = status === undefined ? describe(error) : `HTTP ${status} from ${new URL(error.url).host}`;
  if (status === 401 || status === 403) return ["sdk_auth", detail];
  if (status === 429) return ["sdk_rate_limited", detail];
  if (status !== undefined && status >= 500) return ["sdk_5xx", detail];
  if (status !== undefined && status >= 400) return [`sdk_4xx_${status}`, detail];
  if (status !== undefined && status >= 300) return ["sdk_transport", `${detail}: redirects are not followed`];
  return ["sdk_transport", status === undefined ? detail : `${detail}: the answer can't be read`];
}
