import { env } from "cloudflare:workers";
import { afterEach, beforeEach, expect, it } from "vitest";
import { api } from "./fix-kit";
import { llm } from "./llm-kit";
import { control, ledger } from "./notify-kit";
import { freshBooks, reasoner, seed, wakeRow } from "./reason-kit";

/** Muted between the plain notice and its explanation, a minute later: the explanation stays in the inbox. */

beforeEach(async () => {
  await Promise.all([control({ reset: true }), llm({ reset: true })]);
  await freshBooks();
});
afterEach(() => api("PATCH", "/switchboard", { muted_until: null }));

const later = (): number => Date.now() + 3_600_000;

it.each([
  [
    "the target",
    (target: string) => env.DB.prepare("UPDATE target SET muted_until = ? WHERE id = ?").bind(later(), target).run(),
  ],
  [
    "everything",
    async () => {
      const { status } = await api("PATCH", "/switchboard", { muted_until: new Date(later()).toISOString() });
      expect(status).toBe(200);
    },
  ],
] as [string, (target: string) => Promise<unknown>][])("a mute of %s holds for the explanation", async (_, mute) => {
  const id = `muted-${Date.now()}-${Math.random().toString(36).slice(2, 6)}`;
  const { wake } = await seed({
    id,
    target: { id: `t-${id}`, name: `t-${id}`, kind: "http" },
    category: "service_unhealthy",
    severity: "critical",
    title: "answers with HTTP 503",
    detail: "d",
    first_bad_ago: 60_000,
    first: { status: "unhealthy", reason: "service_unhealthy", latency_ms: 12 },
  });
  const r = reasoner();
  await r.deliver("wake", { wake_id: wake, kind: "incident" });
  expect((await ledger()).slack).toHaveLength(1);
  await mute(`t-${id}`);
  await r.deliver("runs", r.sent.runs.shift());
  expect(await wakeRow(wake)).toMatchObject({ stage: "noticed" });
  expect((await ledger()).slack).toHaveLength(1);
  const told = await env.DB.prepare("SELECT dm_status FROM notice WHERE incident_id = ? AND event = 'explained'")
    .bind(id)
    .all<{ dm_status: string }>();
  expect(told.results).toEqual([{ dm_status: "suppressed" }]);
});
