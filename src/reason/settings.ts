import { readVar, truthy } from "../kernel/config";
import { type ModelRef, type Provider, resolveModel } from "./models";
import { type Prices, priceOf, readPrices } from "./prices";

/** How to reach a provider. `key` is never logged. */
export interface Endpoint {
  url: string;
  key: string;
}

/** What the configuration says about reasoning. */
export interface ReasonSettings {
  /** Providers of the chosen models, or `none`: nothing is configured, and that is a valid choice. */
  engine: string;
  small: ModelRef | null;
  large: ModelRef | null;
  anthropic: Endpoint;
  openai: Endpoint;
  prices: Prices;
  force_large: boolean;
  /** What stops a configured engine, in words that name the variable; empty = fit. */
  missing: string[];
}

const CHOSEN = ["REVEILLE_MODEL_SMALL", "REVEILLE_MODEL_LARGE"] as const;
const BASES = ["REVEILLE_ANTHROPIC_BASE_URL", "REVEILLE_LLM_BASE_URL"] as const;

/** Reads the variables of the engine (docs/configuration.md). `vars` are the raw bindings: the Workers AI binding counts too. */
export function readSettings(vars: Record<string, unknown>): ReasonSettings {
  const missing: string[] = [];
  const read = (name: string): string => readVar(vars, name);
  const keys = { anthropic: read("REVEILLE_ANTHROPIC_API_KEY"), openai: read("REVEILLE_LLM_API_KEY") };
  const endpoint = (name: (typeof BASES)[number], key: string): Endpoint => {
    const url = baseUrl(read(name));
    if (url === null) missing.push(`a usable ${name} (an http or https URL without user name)`);
    return { url: url ?? "", key };
  };
  const anthropic = endpoint("REVEILLE_ANTHROPIC_BASE_URL", keys.anthropic);
  const openai = endpoint("REVEILLE_LLM_BASE_URL", keys.openai);
  const configured =
    keys.anthropic !== "" ||
    keys.openai !== "" ||
    CHOSEN.some((name) => read(name) !== "") ||
    BASES.some((name) => typeof vars[name] === "string" && (vars[name] as string).trim() !== "");

  let prices: Prices = new Map();
  try {
    prices = readPrices(read("REVEILLE_PRICES"));
  } catch (error) {
    missing.push(`usable prices (${error instanceof Error ? error.message : String(error)})`);
  }
  const choose = (name: (typeof CHOSEN)[number], fallback: ModelRef | null): ModelRef | null => {
    const id = read(name);
    if (id === "") return fallback;
    const model = resolveModel(id);
    if (model.ok) return { provider: model.provider, model: model.model };
    missing.push(`a known model in ${name} (${model.why})`);
    return null;
  };
  const claude = (model: string): ModelRef | null => (keys.anthropic === "" ? null : { provider: "anthropic", model });
  const small = choose("REVEILLE_MODEL_SMALL", claude("claude-haiku-4-5"));
  const large = choose("REVEILLE_MODEL_LARGE", claude("claude-sonnet-4-5") ?? small);
  if (configured && small === null && !missing.some((m) => m.includes("REVEILLE_MODEL_SMALL")))
    missing.push("REVEILLE_MODEL_SMALL");

  const chosen = [small, large].filter((m) => m !== null);
  const providers = [...new Set(chosen.map((m) => m.provider))];
  for (const provider of providers) {
    const need = lacking(provider, keys, vars);
    if (need) missing.push(need);
  }
  for (const model of new Set(chosen.map((m) => m.model)))
    if (priceOf(prices, model) === null) missing.push(`a price of ${model} in REVEILLE_PRICES`);
  return {
    engine: !configured ? "none" : providers.join("+") || "unknown",
    small: configured ? small : null,
    large: configured ? large : null,
    anthropic,
    openai,
    prices,
    force_large: truthy(read("REVEILLE_FORCE_LARGE")),
    missing: configured ? missing : [],
  };
}

function lacking(
  provider: Provider,
  keys: { anthropic: string; openai: string },
  vars: Record<string, unknown>,
): string | null {
  if (provider === "anthropic") return keys.anthropic === "" ? "REVEILLE_ANTHROPIC_API_KEY" : null;
  if (provider === "openai-compatible") return keys.openai === "" ? "REVEILLE_LLM_API_KEY" : null;
  return vars["AI"] ? null : "the binding AI (only [env.production] of wrangler.consumer.toml has it)";
}

/** An API base that ends in /v1, which both wire formats share; null when the text is no usable URL. */
function baseUrl(text: string): string | null {
  try {
    const url = new URL(text);
    if (!/^https?:$/.test(url.protocol) || url.username || url.password) return null;
    const path = url.pathname.replace(/\/+$/, "");
    // Endpoints such as .../v1beta/openai carry their version elsewhere; a bare host means /v1.
    return `${url.origin}${path === "" ? "/v1" : path}`;
  } catch {
    return null;
  }
}

/** One line for `npm start` and the listeners page. */
export function engineLine(s: ReasonSettings): string {
  if (s.engine === "none")
    return "none configured: notices stay plain (REVEILLE_ANTHROPIC_API_KEY or REVEILLE_LLM_API_KEY turns it on)";
  if (s.missing.length > 0) return `${s.engine}: not fit, lacks ${s.missing.join(", ")}`;
  const models = [...new Set([s.small?.model, s.large?.model])].filter(Boolean).join(", ");
  return `${s.engine}: ${models}`;
}
