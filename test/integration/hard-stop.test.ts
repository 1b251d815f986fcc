import { env } from "cloudflare:workers";
import { expect, it } from "vitest";
import { budgetObject } from "../../durable-objects/budget.do";
import { llm, llmLedger } from "./llm-kit";
import { control, ledger } from "./notify-kit";
import { auditOf, reasoner, seed, wakeRow } from "./reason-kit";

/** Acceptance 9 of `kora-watch.md`: past the hard stop an incident still ends in its plain notice, and no token is spent. */

it("hard stop: plain notice, no request to the provider, the reason in every row", async () => {
  await Promise.all([control({ reset: true }), llm({ reset: true })]);
  const budget = budgetObject(env.BUDGET);
  const at = Date.now();
  await budget.reserve({ call_id: "all", route: "unknown", model: "m", worst_usd: 200, incident_id: null, at });
  await budget.settle("all", 200, at);
  const r = reasoner();
  const { wake } = await seed({
    id: `stop-${at}`,
    target: { id: "stop-web", name: "stop-web", kind: "http" },
    category: "service_unhealthy",
    severity: "critical",
    title: "stop-web: answers with HTTP 503",
    detail: "Requests to it fail.",
    first_bad_ago: 60_000,
    first: { status: "unhealthy", reason: "service_unhealthy", latency_ms: 12, error: "HTTP 503 from web" },
    looks: [{ ago: 30_000, status: "unhealthy", reason: "service_unhealthy", latency_ms: 12 }],
  });
  await r.drive(wake);

  const slack = (await ledger()).slack;
  expect(slack[0]?.text).toContain("■ Down: stop-web");
  expect(await wakeRow(wake)).toMatchObject({
    stage: "noticed",
    dm_status: "engine_unavailable_fallback",
    reasoning_error: "cost_ladder_halted",
  });
  expect((await llmLedger()).calls).toEqual([]);
  expect(await auditOf(wake, "budget.blocked")).toMatchObject([{ error: "cost_ladder_halted" }]);
  expect(await auditOf(wake, "probe.investigation_completed")).toMatchObject([
    { reasoning_error: "cost_ladder_halted", input_tokens: 0, output_tokens: 0, total_cost_usd: 0 },
  ]);
  expect((await env.DB.prepare("SELECT COUNT(*) AS n FROM cost").first<{ n: number }>())?.n).toBe(0);
  expect(await budget.state(Date.now())).toMatchObject({ spent: 200, reserved: 0 });
});
