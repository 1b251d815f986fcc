import { abortAllDurableObjects, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { beforeEach, describe, expect, it } from "vitest";
import { Budget } from "../../durable-objects/budget.do";
import type { ObjectEnv } from "../../durable-objects/env";
import { newId } from "../../src/kernel/ids";
import type { BudgetAsk, BudgetPort, Route } from "../../src/reason";

/** The Budget object on its real SQLite: no race, restart or repetition spends more than the pool. */

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const NOW = Date.UTC(2026, 10, 20, 12);
let stub: DurableObjectStub<Budget>;
let budget: BudgetPort;
const ask = (call_id: string, worst_usd: number | null, more: Partial<BudgetAsk> = {}): BudgetAsk => ({
  call_id,
  route: "slack_dm" as Route,
  model: "claude-haiku-4-5",
  worst_usd,
  incident_id: null,
  at: NOW,
  ...more,
});

let name = "";
const reopen = (): DurableObjectStub<Budget> => {
  const namespace = env.BUDGET as unknown as DurableObjectNamespace<Budget>;
  return namespace.get(namespace.idFromName(name));
};

beforeEach(() => {
  name = `budget-${newId(Date.now())}`;
  stub = reopen();
  budget = stub as unknown as BudgetPort;
});

describe("reserve and settle", () => {
  it("count the worst case first and the price after", async () => {
    expect(await budget.reserve(ask("a", 2))).toEqual({ ok: true, call_id: "a", rung: "normal", again: false });
    expect(await budget.state(NOW)).toMatchObject({ pool: 200, spent: 0, reserved: 2, left: 198, calls: 1 });
    await budget.settle("a", 0.004, NOW + 1);
    const state = await budget.state(NOW + 2);
    expect(state).toMatchObject({ month: "2026-11", spent: 0.004, reserved: 0, rung: "normal" });
    expect(state.by_route).toEqual({
      slack_dm: { day: { usd: 0.004, calls: 1 }, month: { usd: 0.004, calls: 1 }, cap_usd: null },
    });
    expect(state.resets_at).toBe(Date.UTC(2026, 11, 1));
  });

  it("know a call that comes again, settled or not", async () => {
    await budget.reserve(ask("a", 2));
    expect(await budget.reserve(ask("a", 2))).toMatchObject({ ok: true, again: true });
    await budget.settle("a", 1, NOW);
    expect(await budget.reserve(ask("a", 2))).toMatchObject({ ok: true, again: true });
    expect(await budget.state(NOW)).toMatchObject({ spent: 1, reserved: 0, calls: 1 });
  });

  it("settle once: again may raise it, never lower it, and nothing goes below zero", async () => {
    await budget.reserve(ask("a", 2));
    await budget.settle("a", -5, NOW);
    expect((await budget.state(NOW)).spent).toBe(0);
    await budget.settle("a", 1.5, NOW);
    await budget.settle("a", 0.1, NOW);
    await budget.settle("a", null, NOW);
    await budget.settle("nobody", 9, NOW);
    expect(await budget.state(NOW)).toMatchObject({ spent: 1.5, reserved: 0 });
    await budget.reserve(ask("b", 3));
    await budget.settle("b", Number.NaN, NOW);
    expect(await budget.state(NOW)).toMatchObject({ spent: 4.5, reserved: 0 });
  });

  it("refuse a model without a price and keep nothing of it", async () => {
    expect(await budget.reserve(ask("a", null))).toMatchObject({ ok: false, error: "unpriced_model" });
    expect(await budget.state(NOW)).toMatchObject({ spent: 0, reserved: 0, calls: 0 });
  });
});

describe("limits", () => {
  it("20 parallel asks never take more than the pool", async () => {
    const answers = await Promise.all(Array.from({ length: 20 }, (_, i) => budget.reserve(ask(`c${i}`, 30))));
    expect(answers.filter((a) => a.ok)).toHaveLength(6);
    expect(answers.filter((a) => !a.ok && a.error === "cost_ladder_halted")).toHaveLength(14);
    const state = await budget.state(NOW);
    expect(state).toMatchObject({ reserved: 180, left: 20, rung: "downshift_90", calls: 6 });
    // Only reservations fill it: nobody is told that the month is over.
    expect(await budget.crossed(NOW)).toEqual([]);
  });

  it("20 parallel asks of one call id are one reservation", async () => {
    const answers = await Promise.all(Array.from({ length: 20 }, () => budget.reserve(ask("same", 5))));
    expect(answers.filter((a) => a.ok && !a.again)).toHaveLength(1);
    expect(await budget.state(NOW)).toMatchObject({ reserved: 5, calls: 1 });
  });

  it("investigations have their own $1 for a true sliding 24 h", async () => {
    const route = "probe_investigation";
    await budget.reserve(ask("a", 0.6, { route, at: NOW - 20 * HOUR }));
    await budget.settle("a", 0.6, NOW - 20 * HOUR);
    expect(await budget.reserve(ask("b", 0.5, { route }))).toMatchObject({ ok: false, error: "cost_ladder_halted" });
    expect(await budget.reserve(ask("c", 0.5))).toMatchObject({ ok: true });
    expect(await budget.reserve(ask("d", 0.4, { route }))).toMatchObject({ ok: true });
    // 24 h after "a", and not at midnight, its money is free again.
    expect(await budget.reserve(ask("e", 0.5, { route, at: NOW + 4 * HOUR - 1 }))).toMatchObject({ ok: false });
    expect(await budget.reserve(ask("f", 0.5, { route, at: NOW + 4 * HOUR }))).toMatchObject({ ok: true });
    expect((await budget.state(NOW)).by_route.probe_investigation?.cap_usd).toBe(1);
  });

  it("an incident has six calls in 24 h", async () => {
    for (let i = 0; i < 6; i++)
      expect(await budget.reserve(ask(`c${i}`, 0, { incident_id: "i1" }))).toMatchObject({ ok: true });
    expect(await budget.reserve(ask("c6", 0, { incident_id: "i1" }))).toMatchObject({ ok: false });
    expect(await budget.reserve(ask("c7", 0, { incident_id: "i2" }))).toMatchObject({ ok: true });
    expect(await budget.reserve(ask("c8", 0, { incident_id: "i1", at: NOW + DAY }))).toMatchObject({ ok: true });
  });

  it("a new month starts at zero, at midnight UTC", async () => {
    const last = Date.UTC(2026, 10, 30, 23, 59, 59);
    await budget.reserve(ask("a", 200, { at: last }));
    await budget.settle("a", 200, last);
    expect(await budget.state(last)).toMatchObject({ rung: "hard_stop_100", left: 0 });
    expect(await budget.reserve(ask("b", 1, { at: last }))).toMatchObject({ ok: false });
    const next = Date.UTC(2026, 11, 1);
    expect(await budget.state(next)).toMatchObject({ month: "2026-12", spent: 0, left: 200, rung: "normal" });
    expect(await budget.reserve(ask("b", 1, { at: next }))).toMatchObject({ ok: true, again: false });
  });
});

describe("shares of the pool", () => {
  it("are told once a month each", async () => {
    await budget.reserve(ask("a", 155));
    expect(await budget.crossed(NOW)).toEqual([]);
    await budget.settle("a", 155, NOW);
    expect(await budget.crossed(NOW)).toEqual([50, 75]);
    await budget.told(NOW, 50);
    await budget.told(NOW, 50);
    expect(await budget.crossed(NOW)).toEqual([75]);
    expect(await budget.state(NOW)).toMatchObject({ rung: "warn_75", share: 0.775 });
    const next = Date.UTC(2026, 11, 2);
    await budget.reserve(ask("b", 120, { at: next }));
    await budget.settle("b", 120, next);
    expect(await budget.crossed(next)).toEqual([50]);
  });

  it("reach 100 % when what is left is too little for a call", async () => {
    await budget.reserve(ask("a", 199));
    await budget.settle("a", 199, NOW);
    await budget.told(NOW, 50);
    expect(await budget.crossed(NOW)).toEqual([75, 90]);
    expect(await budget.reserve(ask("b", 2))).toMatchObject({ ok: false, busy: false });
    expect(await budget.crossed(NOW)).toEqual([75, 90, 100]);
    expect((await budget.state(NOW)).share).toBe(1);
    // A call that fits takes the mark back.
    await budget.reserve(ask("c", 0.5));
    expect(await budget.crossed(NOW)).toEqual([75, 90]);
  });
});

describe("a restart", () => {
  it("loses nothing: a new instance and a second object over the same storage read the same", async () => {
    await budget.reserve(ask("a", 40));
    await budget.settle("a", 10, NOW);
    await budget.reserve(ask("b", 7));
    const before = await budget.state(NOW);
    expect(before).toMatchObject({ spent: 10, reserved: 7 });
    await abortAllDurableObjects();
    stub = reopen();
    budget = stub as unknown as BudgetPort;
    expect(await budget.state(NOW)).toEqual(before);
    await runInDurableObject(stub, async (_old, state) => {
      const second = new Budget(state, env as unknown as ObjectEnv);
      expect(await second.state(NOW)).toEqual(before);
      expect(await second.reserve(ask("b", 7))).toMatchObject({ again: true });
    });
  });
});

describe("a call whose answer was lost", () => {
  it("counts as reserved for 24 h, then as spent, and stays in the list until it is written down", async () => {
    await budget.reserve(ask("a", 3));
    expect(await budget.leftovers(NOW + 9 * 60_000)).toEqual([]);
    expect(await budget.leftovers(NOW + 10 * 60_000)).toMatchObject([{ call_id: "a", reserved_usd: 3, lost: false }]);
    expect(await budget.state(NOW + DAY - 1)).toMatchObject({ spent: 0, reserved: 3 });
    expect(await budget.state(NOW + DAY)).toMatchObject({ spent: 3, reserved: 0 });
    expect(await budget.leftovers(NOW + DAY)).toMatchObject([{ call_id: "a", lost: true }]);
    await budget.settle("a", null, NOW + DAY);
    expect(await budget.leftovers(NOW + DAY)).toEqual([]);
    expect(await budget.state(NOW + DAY)).toMatchObject({ spent: 3, reserved: 0 });
  });
});
