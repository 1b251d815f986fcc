import * as z from "zod";
import { clip, describe } from "../kernel/errors";

/** The part of the Workers AI binding that text models use. */
export interface AiBinding {
  run(model: string, input: Record<string, unknown>): Promise<unknown>;
}

const usage = z.object({ prompt_tokens: z.number(), completion_tokens: z.number() }).loose();
/** Older text models answer in this shape, newer ones in that of OpenAI. */
const plainAnswer = z.object({
  response: z.unknown().optional(),
  tool_calls: z.array(z.object({ name: z.string(), arguments: z.unknown() }).loose()).nullish(),
  usage: usage.optional(),
});
const openaiAnswer = z.object({ choices: z.array(z.unknown()).min(1) }).loose();
const request = z.object({
  model: z.string(),
  messages: z.array(z.object({ role: z.string(), content: z.unknown() }).loose()),
  tools: z.array(z.unknown()).optional(),
  max_tokens: z.number().optional(),
});

/**
 * The binding behind the OpenAI wire format, so that one provider package serves both. Only the deployed Worker has the
 * binding (`cloudflare-platform.md` §6: Workers AI is remote only).
 */
export function workersAiFetch(ai: AiBinding): typeof fetch {
  return async (_input, init) => {
    const body = request.parse(JSON.parse(String(init?.body)));
    const { model, messages, tools, max_tokens } = body;
    let raw: unknown;
    try {
      raw = await ai.run(model, {
        messages: messages.map((m) => ({ ...m, content: m.content ?? "" })),
        ...(tools ? { tools } : {}),
        ...(max_tokens ? { max_tokens } : {}),
      });
    } catch (error) {
      const text = clip(describe(error), 300);
      // 3040 is Workers AI's "out of capacity"; what else fails there is the provider's.
      return Response.json({ error: { message: text } }, { status: /\b3040\b|\b429\b/.test(text) ? 429 : 502 });
    }
    if (openaiAnswer.safeParse(raw).success) return Response.json(raw);
    const answer = plainAnswer.parse(raw);
    const calls = answer.tool_calls ?? [];
    const text = typeof answer.response === "string" ? answer.response : JSON.stringify(answer.response ?? "");
    const message = {
      role: "assistant",
      content: calls.length > 0 ? null : text,
      ...(calls.length > 0 ? { tool_calls: calls.map(toolCall) } : {}),
    };
    // The older shape has no finish reason; an answer as long as its limit was cut there.
    const cut = max_tokens !== undefined && (answer.usage?.completion_tokens ?? 0) >= max_tokens;
    return Response.json({
      id: "workers-ai",
      object: "chat.completion",
      created: 0,
      model,
      choices: [{ index: 0, message, finish_reason: cut ? "length" : calls.length > 0 ? "tool_calls" : "stop" }],
      ...(answer.usage ? { usage: answer.usage } : {}),
    });
  };
}

const toolCall = (call: { name: string; arguments: unknown }, i: number) => ({
  id: `call_${i}`,
  type: "function",
  function: {
    name: call.name,
    arguments: typeof call.arguments === "string" ? call.arguments : JSON.stringify(call.arguments ?? {}),
  },
});
