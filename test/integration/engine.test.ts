import { beforeEach, describe, expect, it } from "vitest";
import * as z from "zod";
import type { EngineCall, EngineResult, Tool } from "../../src/reason";
import { makeEngine } from "../../src/reason/engine";
import type { LlmReply } from "../support/llm.types";
import { LLM_KEY, llm, llmLedger, llmRuntime, llmUrl } from "./llm-kit";

/**
 * The engine against providers on loopback that speak both wire formats: what a good answer becomes, which code each failure
 * gets, and where a model that misbehaves is cut. It says nothing about the quality of any model.
 */

const OPENAI = { REVEILLE_LLM_API_KEY: "sk-test-openai-key-0001", REVEILLE_LLM_BASE_URL: `${llmUrl}/v1` };
const call = (more: Partial<EngineCall> = {}): EngineCall => ({
  route: "probe_investigation",
  model: "claude-haiku-4-5",
  system: "You explain faults.",
  prompt: "Why is fly-web down?",
  tools: [],
  max_output_tokens: 500,
  max_steps: 6,
  timeout_ms: 5_000,
  ...more,
});
const ask = (more: Partial<EngineCall> = {}, vars: Record<string, unknown> = {}): Promise<EngineResult> =>
  makeEngine(llmRuntime(vars)).call(call(more));
const replies = (...queue: LlmReply[]): Promise<void> => llm({ queue });

const samples: Tool = {
  name: "get_samples",
  description: "Last looks of the target of this incident.",
  input: z.object({ limit: z.number().int().min(1).max(50).default(12) }),
  run: async (input) => ({ asked: input, samples: ["E1", "E2"] }),
};

beforeEach(() => llm({ reset: true }));

describe.each([
  ["Anthropic", "claude-haiku-4-5", {}, "anthropic"],
  ["OpenAI-compatible", "gpt-test-1", OPENAI, "openai"],
] as const)("%s wire", (_name, model, vars, wire) => {
  it("gives text, usage with cache fields, and sends the call's id", async () => {
    await replies({ mode: "good", text: "It is down [E1].", usage: { input: 900, output: 40, cache_read: 300 } });
    const result = await ask({ model, request_id: "inv:1" }, vars);
    expect(result).toMatchObject({
      ok: true,
      text: "It is down [E1].",
      model,
      truncated: false,
      usage: { input: 900, output: 40, cache_write: 0, cache_read: 300 },
      tool_calls: [],
    });
    const { calls, malformed } = await llmLedger();
    expect(malformed).toEqual([]);
    expect(calls).toMatchObject([{ wire, model, request_id: "inv:1", keyed: true, max_tokens: 500 }]);
  });

  it("runs tools by schema and sums the usage of all turns", async () => {
    await replies(
      { mode: "tool", tools: [{ name: "get_samples", input: { limit: 3 } }], usage: { input: 100, output: 10 } },
      { mode: "good", text: "Seen.", usage: { input: 200, output: 20 } },
    );
    const result = await ask({ model, tools: [samples] }, vars);
    expect(result).toMatchObject({ ok: true, text: "Seen.", usage: { input: 300, output: 30 } });
    expect(result.ok && result.tool_calls).toMatchObject([{ name: "get_samples", input: { limit: 3 } }]);
    expect((await llmLedger()).malformed).toEqual([]);
  });

  it.each([
    [{ mode: "status", status: 401 }, "sdk_auth"],
    [{ mode: "status", status: 403 }, "sdk_auth"],
    [{ mode: "status", status: 429 }, "sdk_rate_limited"],
    [{ mode: "status", status: 500 }, "sdk_5xx"],
    [{ mode: "status", status: 529 }, "sdk_5xx"],
    [{ mode: "status", status: 422 }, "sdk_4xx_422"],
    [{ mode: "status", status: 404 }, "sdk_4xx_404"],
    [{ mode: "drop" }, "sdk_transport"],
    [{ mode: "bad_wire" }, "sdk_transport"],
    [{ mode: "redirect" }, "sdk_transport"],
    [{ mode: "empty" }, "empty_response_text"],
  ] as [LlmReply, string][])("names %o as %s, after one request", async (reply, error) => {
    await replies(reply);
    const result = await ask({ model }, vars);
    expect(result).toMatchObject({ ok: false, error, model });
    expect((await llmLedger()).calls).toHaveLength(1);
  });

  it("ends a call that hangs at its limit", async () => {
    await replies({ mode: "hang" });
    const result = await ask({ model, timeout_ms: 300 }, vars);
    expect(result).toMatchObject({ ok: false, error: "sdk_timeout" });
    expect(result.ms).toBeLessThan(2_000);
  });

  it("says that an answer was cut", async () => {
    await replies({ mode: "truncated", text: "Half of" }, { mode: "truncated", text: " " });
    expect(await ask({ model }, vars)).toMatchObject({ ok: true, text: "Half of", truncated: true });
    expect(await ask({ model }, vars)).toMatchObject({ ok: false, error: "truncated" });
  });

  it("cuts a model that calls tools for ever, and counts what it used", async () => {
    await llm({
      otherwise: { mode: "loop", tools: [{ name: "get_samples", input: {} }], usage: { input: 10, output: 5 } },
    });
    const result = await ask({ model, tools: [samples], max_steps: 4 }, vars);
    expect(result).toMatchObject({ ok: false, error: "empty_response_text", usage: { input: 40, output: 20 } });
    expect((await llmLedger()).calls).toHaveLength(4);
  });
});

describe("a model that misbehaves", () => {
  it("gets an error for a tool that was not offered and for input outside the schema; nothing runs", async () => {
    const ran: unknown[] = [];
    const watched: Tool = { ...samples, run: async (input) => ran.push(input) };
    await replies({ mode: "hostile" }, { mode: "good", text: "Understood." });
    const result = await ask({ tools: [watched] });
    expect(result).toMatchObject({ ok: true, text: "Understood." });
    expect(ran).toEqual([]);
    const calls = result.ok ? result.tool_calls : [];
    expect(calls.map((c) => c.name)).toEqual(["restart_machine", "get_samples"]);
    expect(calls.every((c) => JSON.stringify(c.output).includes("error"))).toBe(true);
    expect((await llmLedger()).malformed).toEqual([]);
  });

  it("is told of a tool that throws, with secrets blanked", async () => {
    const broken: Tool = {
      ...samples,
      run: async () => {
        throw new Error(`store said ${LLM_KEY}`);
      },
    };
    await replies({ mode: "tool", tools: [{ name: "get_samples", input: {} }] }, { mode: "good" });
    const result = await ask({ tools: [broken] });
    const text = JSON.stringify(result);
    expect(text).toContain("store said");
    expect(text).not.toContain(LLM_KEY);
  });

  it("can't be fed more than the tool results allowed", async () => {
    const big: Tool = { ...samples, run: async () => "x".repeat(100_000) };
    const turns = Array.from(
      { length: 4 },
      (): LlmReply => ({ mode: "tool", tools: [{ name: "get_samples", input: {} }] }),
    );
    await replies(...turns, { mode: "good", text: "Done." });
    const result = await ask({ tools: [big] });
    const sizes = (result.ok ? result.tool_calls : []).map((c) => String(c.output).length);
    expect(sizes).toHaveLength(4);
    expect(Math.max(...sizes)).toBeLessThan(8_300);
    expect(sizes.reduce((a, b) => a + b, 0)).toBeLessThan(17_000);
  });

  it("ends with the call although a tool never does", async () => {
    const stuck: Tool = { ...samples, run: () => new Promise(() => {}) };
    await replies({ mode: "tool", tools: [{ name: "get_samples", input: {} }], usage: { input: 50, output: 5 } });
    const result = await ask({ tools: [stuck], timeout_ms: 300 });
    expect(result).toMatchObject({ ok: false, error: "sdk_timeout" });
  });
});

describe("accounts", () => {
  it("counts the upper bound where a provider does not say what it used", async () => {
    await replies({ mode: "no_usage" });
    const result = await ask({ model: "gpt-test-1" }, OPENAI);
    expect(result.ok && result.usage.output).toBe(500);
    expect(result.ok && result.usage.input).toBeGreaterThan(20);
  });

  it("never show the key, whatever the provider echoes", async () => {
    await replies(
      { mode: "status", status: 400, text: `bad key ${LLM_KEY}` },
      { mode: "good", text: `I saw ${LLM_KEY}` },
    );
    expect(JSON.stringify(await ask())).not.toContain(LLM_KEY);
  });
});

describe("model ids", () => {
  it("go to their own provider or nowhere", async () => {
    const none = await ask({ model: "gpt-test-1" });
    expect(none).toMatchObject({ ok: false, error: "unconfigured" });
    const unknown = await ask({ model: "llama-3" }, OPENAI);
    expect(unknown).toMatchObject({ ok: false, error: "unconfigured" });
    const workers = await ask({ model: "@cf/meta/llama-3.1-8b-instruct" }, OPENAI);
    expect(workers).toMatchObject({ ok: false, error: "unconfigured" });
    expect((await llmLedger()).calls).toEqual([]);
    const named = await ask({ model: "openai:llama-3" }, OPENAI);
    expect(named).toMatchObject({ ok: true, model: "llama-3", provider: "openai-compatible" });
  });

  it("without any setting there is no engine", async () => {
    const engine = makeEngine(
      llmRuntime({ REVEILLE_ANTHROPIC_API_KEY: undefined, REVEILLE_ANTHROPIC_BASE_URL: undefined }),
    );
    expect([engine.name, engine.small, engine.large]).toEqual(["none", null, null]);
    expect(await engine.call(call())).toMatchObject({ ok: false, error: "unconfigured" });
  });
});

describe("Workers AI", () => {
  it("answers through its binding in both shapes it has", async () => {
    const inputs: Record<string, unknown>[] = [];
    const shapes: unknown[] = [
      {
        response: "",
        tool_calls: [{ name: "get_samples", arguments: { limit: 2 } }],
        usage: { prompt_tokens: 5, completion_tokens: 2 },
      },
      { response: "Down since noon.", usage: { prompt_tokens: 7, completion_tokens: 3 } },
      {
        choices: [{ index: 0, message: { role: "assistant", content: "New shape." }, finish_reason: "stop" }],
        usage: { prompt_tokens: 4, completion_tokens: 2, total_tokens: 6 },
      },
    ];
    // The binding is the platform's; it exists only there, so its answers are written down here.
    const AI = {
      run: async (_model: string, input: Record<string, unknown>) => {
        inputs.push(input);
        return shapes.shift();
      },
    };
    const vars = { REVEILLE_MODEL_SMALL: "@cf/meta/llama-3.1-8b-instruct", AI };
    const engine = makeEngine(llmRuntime(vars), { AI });
    const model = "@cf/meta/llama-3.1-8b-instruct";
    expect(await engine.call(call({ model, tools: [samples] }))).toMatchObject({
      ok: true,
      text: "Down since noon.",
      provider: "workers-ai",
      usage: { input: 12, output: 5 },
    });
    expect(await engine.call(call({ model }))).toMatchObject({ ok: true, text: "New shape." });
    expect(inputs).toHaveLength(3);
  });
});
