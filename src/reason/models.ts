/** Which provider serves a model id (design §9). Pure: no LLM library is imported here, so the edge may use it. */

export type Provider = "anthropic" | "openai-compatible" | "workers-ai";

/** A model as its provider knows it. */
export interface ModelRef {
  provider: Provider;
  model: string;
}

export type Resolved = ({ ok: true } & ModelRef) | { ok: false; why: string };

/** What an operator may write instead of a full id; the full id is what is asked for and priced. */
const SHORT = new Map([
  ["opus", "claude-opus-4-5"],
  ["sonnet", "claude-sonnet-4-5"],
  ["haiku", "claude-haiku-4-5"],
]);

/**
 * Routes a model id by its prefix: `claude-`, `opus`, `sonnet`, `haiku` → Anthropic; `@cf/` → Workers AI; `gpt-`, `o1`, `o3`,
 * `o4` and anything after `openai:` → the OpenAI-compatible endpoint. Any other id is an error that says so: it never goes to
 * another provider.
 */
export function resolveModel(id: string): Resolved {
  const text = id.trim();
  if (!/^[\x21-\x7e]{1,120}$/.test(text))
    return { ok: false, why: "A model id is 1 to 120 characters without spaces." };
  const lower = text.toLowerCase();
  const short = SHORT.get(lower);
  if (short) return { ok: true, provider: "anthropic", model: short };
  if (/^(opus|sonnet|haiku)-./.test(lower)) return { ok: true, provider: "anthropic", model: `claude-${lower}` };
  if (/^claude-./.test(lower)) return { ok: true, provider: "anthropic", model: text };
  if (/^@cf\/./.test(lower)) return { ok: true, provider: "workers-ai", model: text };
  if (/^openai:./.test(lower)) return { ok: true, provider: "openai-compatible", model: text.slice("openai:".length) };
  if (/^gpt-./.test(lower) || /^o[134](-.+)?$/.test(lower))
    return { ok: true, provider: "openai-compatible", model: text };
  return {
    ok: false,
    why: `"${text}" names no known provider. Use claude-…, @cf/…, gpt-…, or openai:<id> for the endpoint in REVEILLE_LLM_BASE_URL.`,
  };
}
