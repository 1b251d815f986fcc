import { env } from "cloudflare:workers";
import { beforeEach, expect, it } from "vitest";
import { promoteBodies } from "../../src/reason";
import type { RecordedIncident } from "../support/incident-row";
import { llm, llmRuntime } from "./llm-kit";
import { control } from "./notify-kit";
import { auditOf, freshBooks, reasoner, seed } from "./reason-kit";

/** A rehearsal is investigated like a fault, and is no reason to propose a fix: no loop learns from what nobody broke. */

beforeEach(async () => {
  await Promise.all([control({ reset: true }), llm({ reset: true })]);
  await freshBooks();
});

async function investigated(category: string, rehearsal: boolean, configured: boolean): Promise<string[]> {
  const r = reasoner(configured ? {} : { REVEILLE_ANTHROPIC_API_KEY: "", REVEILLE_ANTHROPIC_BASE_URL: "" });
  const wakes: string[] = [];
  for (let n = 0; n < 3; n++) {
    const id = `${category}-${n}-${Date.now()}`;
    const fault: RecordedIncident = {
      id,
      target: { id: `t-${id}`, name: `t-${id}`, kind: "http" },
      category,
      severity: "critical",
      title: "answers with HTTP 503",
      detail: "Requests to it fail.",
      first_bad_ago: 60_000,
      first: { status: "unhealthy", reason: "service_unhealthy", latency_ms: 12 },
      rehearsal,
    };
    const { wake } = await seed(fault);
    await r.drive(wake);
    await freshBooks();
    wakes.push(wake);
  }
  return wakes;
}

it.each([true, false])("three rehearsals are no proposal, three faults are one (engine: %s)", async (configured) => {
  const kind = configured ? "engine" : "none";
  for (const wake of await investigated(`rehearsed_${kind}`, true, configured))
    expect(await auditOf(wake, "probe.investigation_completed")).toMatchObject([{ rehearsal: true }]);
  await investigated(`broken_${kind}`, false, configured);
  await promoteBodies(env.DB, llmRuntime())["promote_probe_fix_envelopes"]!();
  const { results } = await env.DB.prepare("SELECT title FROM proposal WHERE loop = 'probe_fix_envelopes'").all<{
    title: string;
  }>();
  const titles = results.map((r) => r.title).join("\n");
  expect(titles).toContain(`broken_${kind}`);
  expect(titles).not.toContain(`rehearsed_${kind}`);
});
