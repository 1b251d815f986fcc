import { env } from "cloudflare:workers";
import { inject } from "vitest";
import { runtimeOf } from "../../src/kernel/runtime";
import type { LlmControl, LlmLedger } from "../support/llm.types";

/** What tests of reasoning share: the model providers' stand-in and a runtime whose engine points at it. */

export const llmUrl = inject("llmUrl");

export async function llm(change: LlmControl): Promise<void> {
  const response = await fetch(`${llmUrl}/_control`, { method: "POST", body: JSON.stringify(change) });
  await response.text();
}

export async function llmLedger(): Promise<LlmLedger> {
  return (await fetch(`${llmUrl}/_ledger`)).json<LlmLedger>();
}

/** Planted in every test of the engine: it must not come back in any text. */
export const LLM_KEY = "sk-test-planted-llm-key-8841";

/** The variables of both Workers with the Anthropic wire of the stand-in switched on. */
export const llmVars = (more: Record<string, unknown> = {}): Record<string, unknown> => ({
  ...(env as unknown as Record<string, unknown>),
  REVEILLE_ANTHROPIC_API_KEY: LLM_KEY,
  REVEILLE_ANTHROPIC_BASE_URL: `${llmUrl}/v1`,
  ...more,
});

export const llmRuntime = (more: Record<string, unknown> = {}) => runtimeOf(llmVars(more), "llm-test");
