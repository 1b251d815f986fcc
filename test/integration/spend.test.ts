import { env } from "cloudflare:workers";
import { beforeEach, describe, expect, it } from "vitest";
import type { Budget } from "../../durable-objects/budget.do";
import { newId } from "../../src/kernel/ids";
import { type BudgetPort, reconcile, type SpendCall, type SpendDeps, spend } from "../../src/reason";
import { makeEngine } from "../../src/reason/engine";
import { LLM_KEY, llm, llmLedger, llmRuntime } from "./llm-kit";
import { handClock } from "./notify-kit";

/** Reserve, call, settle with real D1, the real Budget object and a provider on loopback: what is asked, billed and kept. */

const NOW = Date.UTC(2026, 10, 20, 12);
const DAY = 86_400_000;
let budget: BudgetPort;
let clock = handClock(NOW);

const deps = (vars: Record<string, unknown> = {}, more: Partial<SpendDeps> = {}): SpendDeps => {
  const runtime = { ...llmRuntime(vars), clock };
  return { db: env.DB, runtime, engine: makeEngine(runtime), budget, paused: false, ...more };
};
const call = (call_id: string, more: Partial<SpendCall> = {}): SpendCall => ({
  call_id,
  route: "slack_dm",
  system: "You answer.",
  prompt: "Is anything down?",
  tools: [],
  max_output_tokens: 300,
  max_steps: 1,
  timeout_ms: 5_000,
  ...more,
});
interface Row {
  call_id: string;
  model: string;
  provider: string;
  usd: number;
  error: string | null;
  escalated: string | null;
  input_tokens: number;
  cache_read_tokens: number;
}
const rows = async (): Promise<Row[]> =>
  (await env.DB.prepare("SELECT * FROM cost ORDER BY call_id").all<Row>()).results;
const blocked = async (): Promise<Record<string, unknown>[]> =>
  (
    await env.DB.prepare("SELECT details FROM audit WHERE seam = 'budget.blocked' ORDER BY id").all<{
      details: string;
    }>()
  ).results.map((r) => JSON.parse(r.details));
const asked = async (): Promise<number> => (await llmLedger()).calls.length;

/** Fills the pool to `usd` without asking anybody. */
async function use(usd: number): Promise<void> {
  const id = newId(Date.now());
  await budget.reserve({
    call_id: id,
    route: "unknown",
    model: "m",
    worst_usd: usd,
    incident_id: null,
    at: clock.now(),
  });
  await budget.settle(id, usd, clock.now());
}

beforeEach(async () => {
  clock = handClock(NOW);
  const namespace = env.BUDGET as unknown as DurableObjectNamespace<Budget>;
  budget = namespace.get(namespace.idFromName(`spend-${newId(Date.now())}`)) as unknown as BudgetPort;
  await llm({ reset: true });
  await env.DB.batch([env.DB.prepare("DELETE FROM cost"), env.DB.prepare("DELETE FROM audit")]);
});

describe("a call", () => {
  it("is reserved, asked once, settled at its price, and is a row", async () => {
    await llm({
      queue: [{ mode: "good", text: "All is well.", usage: { input: 1_000, output: 100, cache_read: 500 } }],
    });
    const result = await spend(deps(), call("a", { incident_id: "i", wake_id: "w" }));
    expect(result).toMatchObject({ ok: true, text: "All is well.", model: "claude-haiku-4-5", rung: "normal" });
    expect(result.usd).toBeCloseTo(0.00155, 10);
    expect(await rows()).toMatchObject([
      {
        call_id: "a",
        provider: "anthropic",
        model: "claude-haiku-4-5",
        input_tokens: 1_000,
        cache_read_tokens: 500,
        error: null,
      },
    ]);
    const state = await budget.state(NOW);
    expect(state.reserved).toBe(0);
    expect(state.spent).toBeCloseTo(0.00155, 9);
    expect((await llmLedger()).calls).toMatchObject([{ request_id: "a", model: "claude-haiku-4-5" }]);
  });

  it("with an id that was reserved before asks nobody again, settled or not", async () => {
    await spend(deps(), call("a"));
    const again = await spend(deps(), call("a"));
    expect(again).toMatchObject({ ok: false, error: "sdk_transport", usd: 0 });
    expect(again.ok ? "" : again.detail).toContain("its answer was lost");
    await budget.reserve({ call_id: "b", route: "slack_dm", model: "m", worst_usd: 0.1, incident_id: null, at: NOW });
    expect(await spend(deps(), call("b"))).toMatchObject({ ok: false, error: "sdk_transport" });
    expect(await asked()).toBe(1);
  });

  it("twenty times at once asks once", async () => {
    const results = await Promise.all(Array.from({ length: 20 }, () => spend(deps(), call("same"))));
    expect(results.filter((r) => r.ok)).toHaveLength(1);
    expect(await asked()).toBe(1);
    expect(await rows()).toHaveLength(1);
  });
});

describe("what is counted when a call fails", () => {
  it.each([
    ["sdk_auth", 401],
    ["sdk_rate_limited", 429],
    ["sdk_5xx", 529],
    ["sdk_4xx_422", 422],
  ] as const)("%s: nothing, the provider does not bill it", async (error, status) => {
    await llm({ queue: [{ mode: "status", status }] });
    expect(await spend(deps(), call("a"))).toMatchObject({ ok: false, error, usd: 0 });
    expect(await budget.state(NOW)).toMatchObject({ spent: 0, reserved: 0, calls: 1 });
    expect(await rows()).toMatchObject([{ error, usd: 0 }]);
  });

  it("a timeout or a lost line: the worst case, for it may have been billed", async () => {
    await llm({ queue: [{ mode: "hang" }, { mode: "drop" }] });
    const slow = await spend(deps(), call("a", { timeout_ms: 200 }));
    const lost = await spend(deps(), call("b"));
    expect([slow, lost]).toMatchObject([{ error: "sdk_timeout" }, { error: "sdk_transport" }]);
    expect(slow.usd).toBeGreaterThan(0.0015);
    const state = await budget.state(NOW);
    expect(state.reserved).toBe(0);
    expect(state.spent).toBeCloseTo(slow.usd! + lost.usd!, 8);
    expect((await rows()).reduce((n, r) => n + r.usd, 0)).toBeCloseTo(state.spent, 8);
  });

  it("an empty or a cut answer: what it used", async () => {
    const usage = { input: 1_000, output: 200 };
    await llm({
      queue: [
        { mode: "empty", usage },
        { mode: "truncated", text: "half", usage },
      ],
    });
    expect(await spend(deps(), call("a"))).toMatchObject({ error: "empty_response_text", usd: 0.002 });
    expect(await spend(deps(), call("b"))).toMatchObject({ ok: true, truncated: true, usd: 0.002 });
    expect((await rows()).map((r) => r.error)).toEqual(["empty_response_text", "truncated"]);
  });
});

describe("refusals", () => {
  it("hard stop: no token is spent and the refusal is a row", async () => {
    await use(200);
    const result = await spend(deps(), call("a", { incident_id: "i1" }));
    expect(result).toMatchObject({ ok: false, error: "cost_ladder_halted", usd: 0, usage: null });
    expect(await asked()).toBe(0);
    expect(await rows()).toEqual([]);
    expect(await blocked()).toMatchObject([{ call_id: "a", route: "slack_dm", error: "cost_ladder_halted" }]);
  });

  it("a caller that names its model meets the same stop", async () => {
    await use(199.999);
    const result = await spend(deps(), call("a", { model: "claude-sonnet-4-5" }));
    expect(result).toMatchObject({ ok: false, error: "cost_ladder_halted" });
    expect(await asked()).toBe(0);
  });

  it("waits while others that are under way only seem to fill the limit", async () => {
    const open = {
      call_id: "open",
      route: "slack_dm" as const,
      model: "m",
      worst_usd: 200,
      incident_id: null,
      at: NOW,
    };
    await budget.reserve(open);
    expect(await budget.reserve({ ...open, call_id: "other", worst_usd: 1 })).toMatchObject({ ok: false, busy: true });
    const waiting = spend(deps(), call("a", { model: "claude-haiku-4-5" }));
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(await asked()).toBe(0);
    await budget.settle("open", 0.01, NOW);
    expect(await waiting).toMatchObject({ ok: true });
    expect(await blocked()).toEqual([]);
  });

  it("a paused switchboard comes before everything else", async () => {
    expect(await spend(deps({}, { paused: true }), call("a"))).toMatchObject({ error: "operational_state_paused" });
    expect([await asked(), (await budget.state(NOW)).calls]).toEqual([0, 0]);
    expect(await blocked()).toMatchObject([{ error: "operational_state_paused" }]);
  });

  it("a model without a price, or of no provider, is not asked", async () => {
    expect(await spend(deps(), call("a", { model: "claude-next-9" }))).toMatchObject({ error: "unpriced_model" });
    expect(await spend(deps(), call("b", { model: "mystery" }))).toMatchObject({ error: "unconfigured" });
    expect(await asked()).toBe(0);
    expect(await rows()).toEqual([]);
  });

  it("without an engine nothing is reserved", async () => {
    const none = deps({ REVEILLE_ANTHROPIC_API_KEY: "", REVEILLE_ANTHROPIC_BASE_URL: "" });
    expect(await spend(none, call("a"))).toMatchObject({ error: "unconfigured" });
    expect((await budget.state(NOW)).calls).toBe(0);
  });

  it("a budget that can't be read stops spending", async () => {
    const broken: BudgetPort = { ...budget, state: () => Promise.reject(new Error("object is gone")) } as BudgetPort;
    expect(await spend(deps({}, { budget: broken }), call("a"))).toMatchObject({ error: "cost_ladder_halted" });
    expect(await asked()).toBe(0);
  });
});

describe("routing", () => {
  it("takes the large model for a judgement, and only the small one from 75 % on", async () => {
    const question = { choice: { question: "Should we roll back v88?" } };
    expect(await spend(deps(), call("a", question))).toMatchObject({ ok: true, model: "claude-sonnet-4-5" });
    await use(160);
    expect(await spend(deps(), call("b", question))).toMatchObject({
      ok: true,
      model: "claude-haiku-4-5",
      rung: "warn_75",
    });
    expect((await rows()).map((r) => r.escalated)).toEqual(["decision_language", null]);
  });

  it("can be forced to the large one while all is normal", async () => {
    const forced = deps({ REVEILLE_FORCE_LARGE: "true" });
    expect(await spend(forced, call("a"))).toMatchObject({ model: "claude-sonnet-4-5" });
    await use(185);
    expect(await spend(forced, call("b"))).toMatchObject({ model: "claude-haiku-4-5", rung: "downshift_90" });
  });
});

describe("after a crash", () => {
  it("between the row and the settle, the row settles the budget", async () => {
    const settleDies = new Proxy(budget, {
      get: (target, key) =>
        key === "settle" ? () => Promise.reject(new Error("killed here")) : Reflect.get(target, key, target),
    });
    await llm({ queue: [{ mode: "good", usage: { input: 1_000, output: 200 } }] });
    expect(await spend(deps({}, { budget: settleDies }), call("a"))).toMatchObject({ ok: true, usd: 0.002 });
    expect((await budget.state(NOW)).reserved).toBeGreaterThan(0.001);
    expect(await reconcile(env.DB, budget, NOW + 60_000)).toBe(0);
    expect(await reconcile(env.DB, budget, NOW + 20 * 60_000)).toBe(1);
    expect(await budget.state(NOW)).toMatchObject({ spent: 0.002, reserved: 0 });
    expect(await reconcile(env.DB, budget, NOW + 20 * 60_000)).toBe(0);
  });

  it("before the row, the worst case becomes a row after 24 h", async () => {
    const at = NOW;
    await budget.reserve({
      call_id: "lost",
      route: "slack_dm",
      model: "claude-haiku-4-5",
      worst_usd: 0.05,
      incident_id: "i",
      at,
    });
    expect(await reconcile(env.DB, budget, NOW + DAY - 1)).toBe(0);
    expect(await reconcile(env.DB, budget, NOW + DAY)).toBe(1);
    expect(await reconcile(env.DB, budget, NOW + DAY)).toBe(0);
    expect(await rows()).toMatchObject([{ call_id: "lost", usd: 0.05, error: "sdk_transport" }]);
    expect(await budget.state(NOW + DAY)).toMatchObject({ spent: 0.05, reserved: 0 });
  });
});

it("no row or audit line holds the key or a prompt", async () => {
  await llm({ queue: [{ mode: "status", status: 400, text: LLM_KEY }] });
  await spend(deps(), call("a", { prompt: "secret-prompt-words" }));
  await spend(deps({}, { paused: true }), call("b", { prompt: "secret-prompt-words" }));
  const text = JSON.stringify([await rows(), await blocked()]);
  expect(text).not.toContain(LLM_KEY);
  expect(text).not.toContain("secret-prompt-words");
});
