import { env } from "cloudflare:workers";
import { beforeEach, describe, expect, it } from "vitest";
import { llm, llmLedger } from "../integration/llm-kit";
import { control, ledger } from "../integration/notify-kit";
import { freshBooks, investigationRow, reasoner, seed, wakeRow } from "../integration/reason-kit";
import type { Recording } from "./recorded";

/**
 * Twelve recorded incidents with a recorded reply each, offline, through the consumer and the stand-ins: they prove the
 * pipeline (context, schema, evidence check, notice) and nothing about the quality of a model. `npm run eval` judges that,
 * with a real key.
 */

declare global {
  interface ImportMeta {
    glob<T>(pattern: string, options: { eager: true; import: "default" }): Record<string, T>;
  }
}

const recordings = Object.values(
  import.meta.glob<Recording>("./investigations/*.json", { eager: true, import: "default" }),
);

beforeEach(async () => {
  await Promise.all([control({ reset: true }), llm({ reset: true }), freshBooks()]);
  // A recording is told alone: no other target may stand in its context.
  await env.DB.batch(
    ["target", "target_state", "incident", "watch_look", "wake_debounce"].map((t) =>
      env.DB.prepare(`DELETE FROM ${t}`),
    ),
  );
});

it("there are twelve, and each names itself", () => {
  expect(recordings).toHaveLength(12);
  expect(new Set(recordings.map((r) => r.name)).size).toBe(12);
});

describe.each(recordings.map((r) => [r.name, r] as const))("%s", (_name, r) => {
  it("comes out as recorded", async () => {
    await llm({ queue: [{ mode: "investigation", text: r.reply }] });
    const run = reasoner();
    const { wake } = await seed(r.incident);
    await run.drive(wake);
    const row = (await investigationRow(wake))!;
    const e = r.expect;
    expect({ error: row.error, dropped: row.dropped, guess: row.guess === 1 }).toEqual({
      error: e.error,
      dropped: e.dropped,
      guess: e.guess,
    });
    const result = row.result === null ? null : (JSON.parse(row.result) as Record<string, unknown>);
    expect(result?.["evidence"] ?? []).toEqual(e.kept);
    expect((result?.["proposed_action"] as { action: string } | undefined)?.action ?? null).toBe(e.action);
    const shown = JSON.parse(row.evidence) as { id: string; text: string }[];
    for (const [id, text] of Object.entries(e.cited)) expect(shown.find((x) => x.id === id)?.text).toContain(text);

    const [root, why] = (await ledger()).slack;
    expect(why!.thread_ts).toBe(root!.ts);
    expect(why!.text.split("\n")[0]).toBe(e.title);
    for (const words of e.says) expect(why!.text).toContain(words);
    for (const words of e.never) expect(why!.text).not.toContain(words);
    expect(await wakeRow(wake)).toMatchObject({ stage: "noticed", reasoning_error: e.error });
    const { calls, malformed } = await llmLedger();
    expect([calls.length, malformed]).toEqual([1, []]);
  });
});
