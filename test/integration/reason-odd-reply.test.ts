import { beforeEach, describe, expect, it } from "vitest";
import type { LlmReply } from "../support/llm.types";
import { api } from "./fix-kit";
import { llm, llmLedger } from "./llm-kit";
import { control, ledger } from "./notify-kit";
import { freshBooks, investigationRow, reasoner, seed, wakeRow } from "./reason-kit";

/** A reply that fits the schema as it came must fit it as it is kept: else nobody can read its row, and its wake never ends. */

let serial = 0;

beforeEach(async () => {
  await Promise.all([control({ reset: true }), llm({ reset: true })]);
  await freshBooks();
});

async function answered(more: Record<string, unknown>) {
  const text = JSON.stringify({
    summary: "It answers 503 [E1].",
    evidence: ["E1"],
    confidence: 0.5,
    likely_cause: "unknown",
    next_step: "Look at it.",
    ...more,
  });
  await llm({ queue: [{ mode: "investigation", text } as LlmReply] });
  const id = `odd-${++serial}-${Date.now()}`;
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
  await reasoner().drive(wake);
  return { id, wake };
}

describe("a reply of which nothing is left once it is cleaned", () => {
  it.each(["[E99]", "E99", "\u200b", "\u2066\u2069 \u200f", "[E98, E99]"])(
    "%j is no answer, and says so",
    async (summary) => {
      const { id, wake } = await answered({ summary });
      expect(await wakeRow(wake)).toMatchObject({ stage: "noticed", reasoning_error: "invalid_output" });
      expect(await investigationRow(wake)).toMatchObject({ result: null, error: "invalid_output" });
      expect((await llmLedger()).calls).toHaveLength(1);
      expect((await ledger()).slack).toHaveLength(2);
      expect((await api("GET", `/incidents/${id}`)).status).toBe(200);
    },
  );
});

describe("a reply that grows when it is cleaned", () => {
  const links = "a.bc/ ".repeat(100).trim();
  it.each(["likely_cause", "next_step", "summary"])("%s stays within its limit and can be read", async (field) => {
    const { id, wake } = await answered({ [field]: links });
    expect(await wakeRow(wake)).toMatchObject({ stage: "noticed", reasoning_error: null });
    const got = await api<{ investigation: { result: Record<string, string> } | null }>("GET", `/incidents/${id}`);
    expect(got.status).toBe(200);
    expect(JSON.stringify(got.body)).toContain("link removed");
    expect(JSON.parse((await investigationRow(wake))!.result!)[field].length).toBeLessThanOrEqual(
      field === "summary" ? 2_000 : 600,
    );
  });
});
