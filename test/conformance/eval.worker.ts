import { runtimeOf } from "../../src/kernel/runtime";
import { spend } from "../../src/reason";
import { makeEngine } from "../../src/reason/engine";
import { investigate } from "../../src/reason/investigation";
import type { BudgetPort } from "../../src/reason/types";
import { rowsOf } from "../support/incident-row";
import type { Recording } from "./recorded";

/** One recording, asked of a real model (scripts/eval.ts): the investigation alone, without queue, notice or budget. */

/** The script runs each recording once; what it may cost is the caller's word, not a pool's. */
const open: BudgetPort = {
  reserve: async (ask) => ({ ok: true, call_id: ask.call_id, rung: "normal", again: false }),
  settle: async () => undefined,
  state: async (at) => ({
    at,
    month: "",
    resets_at: 0,
    pool: 0,
    spent: 0,
    reserved: 0,
    left: 0,
    share: 0,
    rung: "normal",
    calls: 0,
    by_route: {},
  }),
  leftovers: async () => [],
  crossed: async () => [],
  told: async () => undefined,
};

export default {
  async fetch(request: Request, env: { DB: D1Database }): Promise<Response> {
    const { incident } = (await request.json()) as Recording;
    const tables = ["target", "target_state", "incident", "watch_look", "wake", "audit", "cost"];
    await env.DB.batch(tables.map((t) => env.DB.prepare(`DELETE FROM ${t}`)));
    const runtime = runtimeOf(env, "eval");
    await env.DB.batch(rowsOf(incident, runtime.clock.now()).map((s) => env.DB.prepare(s.sql).bind(...s.values)));
    const deps = { db: env.DB, runtime, engine: makeEngine(runtime), budget: open, paused: false };
    const found = await investigate(
      {
        db: env.DB,
        runtime,
        spend: async (call) => {
          const result = await spend(deps, { ...call, route: "probe_investigation" });
          return { result, usd: result.usd };
        },
      },
      {
        wake_id: `wake-${incident.id}`,
        incident_id: incident.id,
        envelope_enabled: incident.envelope_enabled === true,
      },
    );
    return Response.json(found);
  },
};
