import { env, exports } from "cloudflare:workers";
import { beforeAll, beforeEach, describe, expect, inject, it } from "vitest";
import { budgetObject } from "../../durable-objects/budget.do";
import { reportState } from "../../src/consumer/state";
import { judgeBudget } from "../../src/edge/budget";
import type { EdgeEnv } from "../../src/edge/env";
import { runtimeOf } from "../../src/kernel/runtime";
import { type ListenerState, readListenerStates } from "../../src/listeners";
import { createLoginCode } from "../../src/operator";
import { spend } from "../../src/reason";
import { makeEngine } from "../../src/reason/engine";
import { llm, llmRuntime, llmVars } from "./llm-kit";

/** What an operator sees of the budget: the API, the page, the notices at 50 and 90 %, and whether the engine is fit. */

const BASE = "http://reveille.test";
const edge = env as unknown as EdgeEnv;
const runtime = runtimeOf(edge, "budget-surface");
const budget = budgetObject(env.BUDGET);
const ENGINE: ReadonlyMap<string, ListenerState> = new Map([
  [
    "reasoning_engine",
    { last_run_at: 1, last_ok_at: 1, consecutive_errors: 0, last_error: null, note: "anthropic: x" },
  ],
]);
let serial = 0;

async function use(usd: number): Promise<void> {
  const at = Date.now();
  const call_id = `use-${serial++}`;
  await budget.reserve({ call_id, route: "unknown", model: "m", worst_usd: usd, incident_id: null, at });
  await budget.settle(call_id, usd, at);
}

const read = async (path: string): Promise<Record<string, unknown> & { [k: string]: never }> =>
  (
    await exports.default.fetch(`${BASE}/api/v1${path}`, {
      headers: { authorization: "Bearer test-operator-token-4f1c9b7e2a" },
    })
  ).json();

let cookie = "";
const page = async (): Promise<{ status: number; html: string }> => {
  const response = await exports.default.fetch(`${BASE}/budget`, { headers: { cookie }, redirect: "manual" });
  return { status: response.status, html: await response.text() };
};

async function until<T>(what: string, look: () => Promise<T | null>): Promise<T> {
  const end = Date.now() + 10_000;
  for (;;) {
    const value = await look();
    if (value !== null) return value;
    if (Date.now() > end) throw new Error(`${what}: not seen within 10 s`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

beforeAll(async () => {
  const { code } = await createLoginCode(env.DB, Date.now());
  const response = await exports.default.fetch(`${BASE}/login?code=${code}`, { redirect: "manual" });
  cookie = response.headers
    .getSetCookie()
    .map((line) => line.split(";")[0])
    .join("; ");
});
beforeEach(() => llm({ reset: true }));

describe("before anything was spent", () => {
  it("there is nothing to judge without an engine, and the page says so", async () => {
    expect(await judgeBudget(edge, runtime, new Map())).toBeNull();
    expect(await judgeBudget(edge, runtime, ENGINE)).toBe(0);
    const { status, html } = await page();
    expect(status).toBe(200);
    expect(html).toContain("Nothing has been spent this month.");
    expect(html).toContain("No call yet.");
  });

  it("the API needs its token", async () => {
    expect((await exports.default.fetch(`${BASE}/api/v1/budget`)).status).toBe(401);
  });
});

describe("a call that was made", () => {
  it("is in the API and on the page, with what it cost", async () => {
    await llm({ queue: [{ mode: "good", usage: { input: 10_000, output: 1_000 } }] });
    const rt = llmRuntime();
    const deps = { db: env.DB, runtime: rt, engine: makeEngine(rt), budget, paused: false };
    const call = { call_id: "surface-1", route: "slack_dm" as const, system: "s", prompt: "p", tools: [] };
    await spend(deps, {
      ...call,
      max_output_tokens: 1_000,
      max_steps: 1,
      timeout_ms: 5_000,
      incident_id: "01INCIDENTOFTHETEST",
    });
    const body = await read("/budget");
    expect(body).toMatchObject({
      pool_usd: 200,
      spent_usd: 0.015,
      reserved_usd: 0,
      rung: "normal",
      by_route: [{ route: "slack_dm", month_usd: 0.015, month_calls: 1, cap_usd: null }],
      days: [{ day: new Date().toISOString().slice(0, 10), route: "slack_dm", usd: 0.015, calls: 1 }],
      last_calls: [{ call_id: "surface-1", model: "claude-haiku-4-5", input_tokens: 10_000, usd: 0.015, error: null }],
    });
    const { html } = await page();
    for (const text of ["claude-haiku-4-5", "$0.01", "slack_dm", "/incidents/01INCIDENTOFTHETEST"])
      expect(html).toContain(text);
    expect(html).not.toMatch(/style="|<script>/);
  });
});

describe("shares of the pool", () => {
  it("50 % is told once, in the inbox only; 75 % is the incident's; 90 % is pushed", async () => {
    await fetch(`${inject("platformsUrl")}/_control`, { method: "POST", body: JSON.stringify({ reset: true }) });
    const month = new Date().toISOString().slice(0, 7);
    const notice = (threshold: number) =>
      env.DB.prepare("SELECT title, body, severity, dm_status FROM notice WHERE wake_id = ? AND dm_status IS NOT NULL")
        .bind(`budget-${month}-${threshold}`)
        .first<{ title: string; body: string; severity: string; dm_status: string }>();
    await use(110);
    expect(await judgeBudget(edge, runtime, ENGINE)).toBeCloseTo(0.55, 2);
    expect(await judgeBudget(edge, runtime, ENGINE)).toBeCloseTo(0.55, 2);
    const half = await until("the notice of 50 %", () => notice(50));
    expect(half).toMatchObject({ severity: "info", dm_status: "suppressed" });
    expect(half.title).toBe("Budget: 50 % of the month's reasoning is spent");
    expect(half.body).toContain("$110.02 of $200.00 is spent");

    await use(45);
    expect(await judgeBudget(edge, runtime, ENGINE)).toBeCloseTo(0.775, 2);
    await use(30);
    expect(await judgeBudget(edge, runtime, ENGINE)).toBeCloseTo(0.925, 2);
    const most = await until("the notice of 90 %", () => notice(90));
    expect(most).toMatchObject({ severity: "warning", dm_status: "sent" });
    const { results } = await env.DB.prepare("SELECT wake_id FROM wake WHERE event = 'budget' ORDER BY wake_id").all();
    expect(results.map((r) => r["wake_id"])).toEqual([`budget-${month}-50`, `budget-${month}-90`]);
    const sent = (await (await fetch(`${inject("platformsUrl")}/_ledger`)).json()) as { slack: { text: string }[] };
    expect(sent.slack).toHaveLength(1);
    expect(sent.slack[0]?.text).toContain("Budget: 90 %");
    expect((await page()).html).toContain("Since 90 %: only the small model is asked.");
  });

  it("100 %: the page says that nothing is asked", async () => {
    await use(15 - 0.02);
    await use(0.005);
    const body = await read("/budget");
    expect(body).toMatchObject({ rung: "hard_stop_100" });
    expect((await page()).html).toContain("Notices still go out, plain.");
    expect(await judgeBudget(edge, runtime, ENGINE)).toBeGreaterThanOrEqual(1);
  });
});

describe("the engine's fitness", () => {
  const report = (vars: Record<string, unknown>) =>
    reportState({ ...llmVars(vars) } as unknown as Parameters<typeof reportState>[0]);
  const ready = async (): Promise<number> => {
    const response = await exports.default.fetch(`${BASE}/readyz`);
    await response.text();
    return response.status;
  };
  const engine = async (): Promise<ListenerState | undefined> =>
    (await readListenerStates(env.DB)).get("reasoning_engine");

  it("none is healthy; a missing key or price is fatal and named; a whole one is healthy again", async () => {
    await report({ REVEILLE_ANTHROPIC_API_KEY: "", REVEILLE_ANTHROPIC_BASE_URL: "" });
    expect([await ready(), (await engine())?.note]).toEqual([200, expect.stringContaining("none configured")]);
    await new Promise((resolve) => setTimeout(resolve, 5));
    await report({ REVEILLE_MODEL_SMALL: "gpt-unpriced", REVEILLE_LLM_API_KEY: "k-000000001" });
    expect(await ready()).toBe(503);
    expect((await engine())?.last_error).toContain("a price of gpt-unpriced in REVEILLE_PRICES");
    await new Promise((resolve) => setTimeout(resolve, 5));
    await report({});
    expect([await ready(), (await engine())?.note]).toEqual([200, "anthropic: claude-haiku-4-5, claude-sonnet-4-5"]);
  });
});
