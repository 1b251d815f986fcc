import { env } from "cloudflare:workers";
import { beforeEach, expect, it } from "vitest";
import { budgetObject } from "../../durable-objects/budget.do";
import { processAsk } from "../../src/consumer/ask.consumer";
import { newId } from "../../src/kernel/ids";
import { type Answer, insertAsk, readAsk } from "../../src/reason";
import { makeEngine } from "../../src/reason/engine";
import type { LlmReply } from "../support/llm.types";
import { llm, llmLedger, llmRuntime } from "./llm-kit";
import { freshBooks } from "./reason-kit";

/** A model that says nothing a person can see has not answered: the rules do, say why, and count what it cost. */

beforeEach(async () => {
  await llm({ reset: true });
  await freshBooks();
});

it.each(["\u200b\u200b", "[target:no-such-target]", "\u2066 \u2069"])("%j is answered by rules", async (text) => {
  await llm({ otherwise: { mode: "good", text } as LlmReply });
  const runtime = llmRuntime();
  const id = newId(Date.now());
  const question = "Tell me about the flux of the shop";
  await insertAsk(env.DB, { id, source: "api", source_ref: null, thread: null, by: "api", question }, Date.now());
  const switches = async () => ({ paused: false, killed: false, muted_until: null });
  const budget = budgetObject(env.BUDGET);
  const engine = makeEngine(runtime);
  const deps = { db: env.DB, runtime, engine, budget, switches, remote: async () => [] };
  await processAsk(deps as unknown as Parameters<typeof processAsk>[0], id);
  const answer = JSON.parse((await readAsk(env.DB, id))!.answer!) as Answer;
  expect(answer).toMatchObject({ engine: "by rules", reasoning_error: "empty_response_text", guess: false });
  expect(answer.text).not.toContain("A guess");
  expect(answer.usd).toBeGreaterThan(0);
  expect((await llmLedger()).calls.length).toBeGreaterThan(0);
});
