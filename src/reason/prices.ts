import * as z from "zod";
import { resolveModel } from "./models";
import type { Price, Usage } from "./types";

/**
 * USD per million tokens of models that are on the provider's public price list; checked there in November 2026
 * (platform.claude.com, "Model pricing", five-minute cache writes). A model that is not here needs a line in REVEILLE_PRICES.
 */
const CLAUDE: Record<string, Price> = {
  "claude-haiku-4-5": { input: 1, output: 5, cache_write: 1.25, cache_read: 0.1 },
  "claude-sonnet-4-5": { input: 3, output: 15, cache_write: 3.75, cache_read: 0.3 },
  "claude-sonnet-4-6": { input: 3, output: 15, cache_write: 3.75, cache_read: 0.3 },
  "claude-opus-4-5": { input: 5, output: 25, cache_write: 6.25, cache_read: 0.5 },
  "claude-opus-4-6": { input: 5, output: 25, cache_write: 6.25, cache_read: 0.5 },
  "claude-opus-4-7": { input: 5, output: 25, cache_write: 6.25, cache_read: 0.5 },
  "claude-opus-4-8": { input: 5, output: 25, cache_write: 6.25, cache_read: 0.5 },
};

/** Prices by full model id. */
export type Prices = ReadonlyMap<string, Price>;

const usd = z.number().min(0).max(100_000);
const pricesSchema = z.record(
  z.string().min(1).max(120),
  z.strictObject({ input: usd, output: usd, cache_write: usd.optional(), cache_read: usd.optional() }),
);

/**
 * The bundled prices with those of REVEILLE_PRICES over them. A missing cache price counts as the dearer side: a write as
 * 1.25 × input, a read as input. @throws Error with the entry that can't be used.
 */
export function readPrices(text: string): Prices {
  const out = new Map(Object.entries(CLAUDE));
  if (text === "") return out;
  let raw: unknown;
  try {
    raw = JSON.parse(text);
  } catch {
    throw new Error('REVEILLE_PRICES is not JSON. Write {"model":{"input":1,"output":5}}, USD per million tokens.');
  }
  const parsed = pricesSchema.safeParse(raw);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    throw new Error(`REVEILLE_PRICES, ${issue?.path.join(".") || "top level"}: ${issue?.message ?? "not usable"}.`);
  }
  for (const [id, p] of Object.entries(parsed.data)) {
    const model = resolveModel(id);
    if (!model.ok) throw new Error(`REVEILLE_PRICES: ${model.why}`);
    out.set(model.model, {
      input: p.input,
      output: p.output,
      cache_write: p.cache_write ?? p.input * 1.25,
      cache_read: p.cache_read ?? p.input,
    });
  }
  return out;
}

/** The price of a full model id, or null when nobody told it. A dated id has the price of its undated one. */
export function priceOf(prices: Prices, model: string): Price | null {
  return prices.get(model) ?? prices.get(model.replace(/-(\d{8}|latest)$/, "")) ?? null;
}

/** USD of what was used. The same function bills the ladder and the rows (`kora-watch.md` §6). */
export function costOf(price: Price, usage: Usage): number {
  const total =
    usage.input * price.input +
    usage.output * price.output +
    usage.cache_write * price.cache_write +
    usage.cache_read * price.cache_read;
  return total / 1_000_000;
}
