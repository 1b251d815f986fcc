import * as z from "zod";
import { auditStatement } from "../audit";
import { clip, describe } from "../kernel/errors";
import type { Runtime } from "../kernel/runtime";
import { type Choice, chooseModel, inputBound, TOOL_BYTES, worstCase } from "./budget";
import { insertCost } from "./cost.store";
import { resolveModel } from "./models";
import { costOf, priceOf } from "./prices";
import { type ReasonSettings, readSettings } from "./settings";
import type { BudgetPort, Engine, EngineCall, EngineFail, EngineResult, ReasoningError, Reserved, Rung } from "./types";

/** The one way to ask a model: reserve the worst case, call, settle what it cost, keep the row. */

export interface SpendDeps {
  db: D1Database;
  runtime: Runtime;
  engine: Engine;
  budget: BudgetPort;
  /** The switchboard says stop (or can't be read). */
  paused: boolean;
}

export interface SpendCall extends Omit<EngineCall, "model" | "request_id"> {
  /** One call for ever: the same id never asks the model twice. */
  call_id: string;
  /** Left out: the router chooses by the budget's rung and `choice`. */
  model?: string | undefined;
  choice?: Omit<Choice, "rung" | "route" | "force"> | undefined;
  incident_id?: string | null | undefined;
  wake_id?: string | null | undefined;
  /** Why the large model is asked, when the caller decided it. */
  escalated?: string | null | undefined;
}

export type SpendResult = EngineResult & {
  call_id: string;
  /** What the budget counts for it, USD; 0 when nothing was asked, null when it has no price. */
  usd: number | null;
  /** Where the budget stood when it was reserved; null when nothing was. */
  rung: Rung | null;
};

const settingsCache = new WeakMap<Runtime, ReasonSettings>();

/** The engine's settings of a runtime, read once. */
export function settingsOf(runtime: Runtime): ReasonSettings {
  const found = settingsCache.get(runtime) ?? readSettings(runtime.vars);
  settingsCache.set(runtime, found);
  return found;
}

/**
 * Makes one call under the budget. Never throws: every refusal and failure is a value with its code (`kora-watch.md` §6), and
 * a refusal is an audit row `budget.blocked`. A call id that was reserved before is not called again, whatever came of it.
 */
export async function spend(deps: SpendDeps, call: SpendCall): Promise<SpendResult> {
  const { runtime, engine, budget } = deps;
  const settings = settingsOf(runtime);
  if (engine.name === "none") return failed(call, "unconfigured", "No engine is configured.");
  if (deps.paused) return blocked(deps, call, "operational_state_paused", "Reasoning is paused by an operator.", null);

  let model: string;
  let why: string | null = call.escalated ?? null;
  try {
    const chosen = await pick(deps, call, settings);
    if (chosen === null) return await blocked(deps, call, "cost_ladder_halted", "The month's budget is used up.", null);
    model = chosen.model;
    why ??= chosen.why;
  } catch (error) {
    return blocked(deps, call, "cost_ladder_halted", `The budget can't be read: ${describe(error)}`, null);
  }
  const resolved = resolveModel(model);
  if (!resolved.ok) return blocked(deps, call, "unconfigured", resolved.why, model);
  const price = priceOf(settings.prices, resolved.model);
  const worst = price === null ? null : worstOf(call, price);

  const at = runtime.clock.now();
  const incident_id = call.incident_id ?? null;
  const ask = { call_id: call.call_id, route: call.route, model, worst_usd: worst, incident_id, at };
  let rung: Rung;
  try {
    const reserved = await reserve(deps, ask);
    if (!reserved.ok) return await blocked(deps, call, reserved.error, reserved.why, model);
    if (reserved.again)
      return failed(call, "sdk_transport", "A call was made and its answer was lost; it is not made again.", model);
    rung = reserved.rung;
  } catch (error) {
    // Perhaps it was reserved; then it stays counted until it is released. Nothing was asked.
    return blocked(deps, call, "cost_ladder_halted", `The budget can't be reached: ${describe(error)}`, model);
  }

  const { call_id, choice: _choice, escalated: _escalated, incident_id: _i, wake_id: _w, ...rest } = call;
  const result = await engine.call({ ...rest, model, request_id: call_id });
  const real = billed(result, price!);
  const usd = real ?? worst!;
  await record(deps, call, result, { model, provider: resolved.provider, usd, why });
  await budget
    .settle(call_id, real, runtime.clock.now())
    .catch((error) => runtime.log("error", "budget.unsettled", { call: call_id, error: describe(error) }));
  if (real !== null && real > worst!)
    runtime.log("warn", "budget.worst_case_exceeded", { call: call_id, model, worst, real });
  return { ...result, call_id, usd, rung };
}

/** Wall ms a call waits for others to settle; with the call itself it must end within the leases of its callers (150 s). */
const BUSY_WAIT = 30_000;
const BUSY_STEP = 1_500;

/** Worst cases are several times what calls cost, so several at once may fill a limit for seconds that they will not use. */
async function reserve({ budget, runtime }: SpendDeps, ask: Parameters<BudgetPort["reserve"]>[0]): Promise<Reserved> {
  const end = Date.now() + BUSY_WAIT;
  for (;;) {
    const reserved = await budget.reserve({ ...ask, at: runtime.clock.now() });
    if (reserved.ok || !reserved.busy || Date.now() + BUSY_STEP > end) return reserved;
    await new Promise((resolve) => setTimeout(resolve, BUSY_STEP));
  }
}

async function pick(
  deps: SpendDeps,
  call: SpendCall,
  settings: ReasonSettings,
): Promise<{ model: string; why: string | null } | null> {
  if (call.model !== undefined) return { model: call.model, why: null };
  const { rung } = await deps.budget.state(deps.runtime.clock.now());
  const choice = chooseModel({ ...call.choice, rung, route: call.route, force: settings.force_large });
  if (choice === null) return null;
  const model = choice.size === "large" ? (deps.engine.large ?? deps.engine.small) : deps.engine.small;
  return { model: model ?? "", why: choice.size === "large" ? choice.why : null };
}

function worstOf(call: SpendCall, price: Parameters<typeof worstCase>[0]): number {
  const schemas = call.tools.map((t) => t.name + t.description + JSON.stringify(z.toJSONSchema(t.input)));
  const input = inputBound([call.system, call.prompt, ...schemas], call.tools.length);
  return worstCase(price, input, call.max_output_tokens, call.max_steps, call.tools.length > 0 ? TOOL_BYTES : 0);
}

/** USD the provider counts, or null when it may have billed more than we know: then the worst case stands. */
function billed(result: EngineResult, price: Parameters<typeof costOf>[0]): number | null {
  if (!result.ok && (result.error === "sdk_timeout" || result.error === "sdk_transport")) return null;
  return result.usage === null ? 0 : costOf(price, result.usage);
}

async function record(
  { db, runtime }: SpendDeps,
  call: SpendCall,
  result: EngineResult,
  more: { model: string; provider: string; usd: number; why: string | null },
): Promise<void> {
  // Before the settle: after a crash between the two, the row tells the budget what it was (see `reconcile`).
  await insertCost(db, {
    call_id: call.call_id,
    at: runtime.clock.now(),
    route: call.route,
    provider: more.provider,
    model: result.model ?? more.model,
    usage: result.usage ?? { input: 0, output: 0, cache_write: 0, cache_read: 0 },
    usd: more.usd,
    ms: Math.round(result.ms),
    error: result.ok ? (result.truncated ? "truncated" : null) : result.error,
    escalated: more.why,
    incident_id: call.incident_id ?? null,
    wake_id: call.wake_id ?? null,
  })
    .run()
    .catch((error) => runtime.log("error", "cost.unwritten", { call: call.call_id, error: describe(error) }));
}

async function blocked(
  deps: SpendDeps,
  call: SpendCall,
  error: ReasoningError,
  why: string,
  model: string | null,
): Promise<SpendResult> {
  const { db, runtime } = deps;
  const detail = runtime.redact.text(clip(why, 300));
  await auditStatement(db, {
    at: runtime.clock.now(),
    seam: "budget.blocked",
    source: "reasoning",
    incident_id: call.incident_id ?? null,
    wake_id: call.wake_id ?? null,
    details: { call_id: call.call_id, route: call.route, model, error, why: detail },
  })
    .run()
    .catch((e) => runtime.log("error", "audit.unwritten", { seam: "budget.blocked", error: describe(e) }));
  runtime.log("warn", "budget.blocked", { call: call.call_id, route: call.route, model, error, why: detail });
  return failed(call, error, detail, model);
}

function failed(call: SpendCall, error: ReasoningError, detail: string, model: string | null = null): SpendResult {
  const result: EngineFail = { ok: false, error, detail, model, usage: null, ms: 0 };
  return { ...result, call_id: call.call_id, usd: 0, rung: null };
}
