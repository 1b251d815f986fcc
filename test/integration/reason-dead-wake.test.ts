import { env, exports } from "cloudflare:workers";
import { beforeEach, describe, expect, it } from "vitest";
import type { RecordedIncident } from "../support/incident-row";
import { llm, llmLedger } from "./llm-kit";
import { control, ledger } from "./notify-kit";
import { dyingStore, expireLease, freshBooks, reasoner, seed, wakeRow } from "./reason-kit";

/**
 * A wake that can't be worked on ends: as `dead`, with a dead letter and a notice in the inbox, instead of going round for ever.
 * A try that fails gives its claim back, so that the queue's own retry is a try and not a duplicate to be acked.
 */

let serial = 0;
const incident = (): RecordedIncident => {
  const n = ++serial;
  return {
    id: `dead-${n}-${Date.now()}`,
    target: { id: `dead-web-${n}`, name: `dead-web-${n}`, kind: "http" },
    category: "service_unhealthy",
    severity: "critical",
    title: `dead-web-${n}: answers with HTTP 503`,
    detail: "Requests to it fail.",
    first_bad_ago: 60_000,
    first: { status: "unhealthy", reason: "service_unhealthy", latency_ms: 12, error: "HTTP 503" },
  };
};

const lettersOf = async (wake: string) =>
  (
    await env.DB.prepare("SELECT id, kind, ref, reason, payload FROM dead_letter WHERE ref = ? AND id = 'wake-' || ?1")
      .bind(wake)
      .all<{ id: string; kind: string; reason: string; payload: string }>()
  ).results;
const noticesOf = async (wake: string) =>
  (
    await env.DB.prepare(
      `SELECT n.title, n.body, n.severity, n.dm_status, a.channel, a.state FROM notice n JOIN notice_attempt a ON a.notice_id = n.id
       WHERE n.wake_id = ?`,
    )
      .bind(wake)
      .all<{ title: string; body: string; severity: string; dm_status: string; channel: string; state: string }>()
  ).results;
const attemptsOf = async (wake: string): Promise<number> =>
  (await env.DB.prepare("SELECT attempts FROM wake WHERE wake_id = ?").bind(wake).first<{ attempts: number }>())!
    .attempts;

beforeEach(async () => {
  await Promise.all([control({ reset: true }), llm({ reset: true })]);
  await freshBooks();
});

/** As the queue does it: every delivery after the lease of the one before, as after a kill. Returns how many it took. */
async function untilDone(r: ReturnType<typeof reasoner>, queue: "wake" | "runs", wake: string): Promise<number> {
  for (let n = 1; n <= 40; n++) {
    await expireLease(wake);
    await r.deliver(
      queue,
      queue === "wake" ? { wake_id: wake, kind: "incident" } : { kind: "investigation", wake_id: wake },
    );
    if ((await wakeRow(wake))?.done_at) return n;
  }
  return -1;
}

describe("a wake whose every try throws", () => {
  it("ends dead after 30 tries, with one dead letter and its notice in the inbox; a further message changes nothing", async () => {
    const { wake } = await seed(incident());
    await env.DB.prepare("UPDATE wake SET payload = '{broken' WHERE wake_id = ?").bind(wake).run();
    const r = reasoner();
    expect(await untilDone(r, "wake", wake)).toBe(31);
    expect(await wakeRow(wake)).toMatchObject({ stage: "dead", dm_status: "failed_send" });
    const letters = await lettersOf(wake);
    expect(letters).toHaveLength(1);
    expect(letters[0]).toMatchObject({ kind: "wake" });
    expect(letters[0]!.reason).toContain("30 tries");
    const told = await noticesOf(wake);
    expect(told).toHaveLength(1);
    expect(told[0]).toMatchObject({ channel: "inbox", state: "sent", severity: "critical", dm_status: "failed_send" });
    expect(`${told[0]!.title} ${told[0]!.body}`).toContain(`dead-web-${serial}`);
    expect((await ledger()).slack).toEqual([]);
    await r.deliver("wake", { wake_id: wake, kind: "incident" });
    expect(await lettersOf(wake)).toHaveLength(1);
    expect(await noticesOf(wake)).toHaveLength(1);
    const shown = await exports.default.fetch("http://reveille.test/api/v1/dead-letters", {
      headers: { authorization: "Bearer test-operator-token-4f1c9b7e2a" },
    });
    expect(JSON.stringify(await shown.json())).toContain(wake);
  });

  it("a dead wake that can be worked on again is told in full by its replay", async () => {
    const { wake } = await seed(incident());
    const good = (await env.DB.prepare("SELECT payload FROM wake WHERE wake_id = ?")
      .bind(wake)
      .first<{ payload: string }>())!;
    await env.DB.prepare("UPDATE wake SET payload = '{broken', attempts = 30 WHERE wake_id = ?").bind(wake).run();
    const r = reasoner();
    expect(await untilDone(r, "wake", wake)).toBe(1);
    await env.DB.prepare("UPDATE wake SET payload = ? WHERE wake_id = ?").bind(good.payload, wake).run();
    const replay = await exports.default.fetch(`http://reveille.test/api/v1/dead-letters/wake-${wake}/replay`, {
      method: "POST",
      headers: { authorization: "Bearer test-operator-token-4f1c9b7e2a" },
    });
    expect(replay.status).toBe(202);
    for (let i = 0; i < 100 && !(await wakeRow(wake))?.done_at; i++) await new Promise((x) => setTimeout(x, 50));
    expect((await ledger()).slack).toHaveLength(1);
    expect((await noticesOf(wake)).filter((n) => n.channel === "slack" && n.state === "sent")).toHaveLength(1);
    expect(await wakeRow(wake)).toMatchObject({ stage: "noticed" });
  });

  it("planned later tries are not counted: an engine that is slow to be asked kills no wake", async () => {
    const { wake } = await seed(incident());
    const r = reasoner();
    await r.deliver("wake", { wake_id: wake, kind: "incident" });
    expect(r.sent.runs).toHaveLength(1);
    // The queue `runs` stands still, and the sweeper sends the wake again and again.
    for (let i = 0; i < 40; i++) await r.deliver("wake", { wake_id: wake, kind: "incident" });
    expect(await wakeRow(wake)).toMatchObject({ stage: "plain_noticed", done_at: null });
    expect(await attemptsOf(wake)).toBeLessThan(5);
  });

  it("an explanation that can't be read ends dead too, without a second call and under its plain notice", async () => {
    const { wake } = await seed(incident());
    const r = reasoner();
    await r.deliver("wake", { wake_id: wake, kind: "incident" });
    r.env.DB = dyingStore(/INSERT INTO notice \(/);
    await r.deliver("runs", { kind: "investigation", wake_id: wake });
    r.env.DB = env.DB;
    expect((await wakeRow(wake))?.stage).toBe("investigated");
    await env.DB.prepare("UPDATE investigation SET evidence = '{broken' WHERE wake_id = ?").bind(wake).run();
    expect(await untilDone(r, "runs", wake)).toBeGreaterThan(20);
    expect(await wakeRow(wake)).toMatchObject({ stage: "dead" });
    expect(await lettersOf(wake)).toHaveLength(1);
    expect((await llmLedger()).calls).toHaveLength(1);
    expect((await ledger()).slack).toHaveLength(1);
    expect((await noticesOf(wake)).filter((n) => n.channel === "inbox")).toHaveLength(1);
  });
});

describe("a try that fails once", () => {
  it("gives the wake back at once: the queue's retry tells it, no lease has to run out first", async () => {
    const { wake } = await seed(incident());
    const r = reasoner();
    r.env.DB = dyingStore(/INSERT INTO notice \(/);
    expect(await r.deliver("wake", { wake_id: wake, kind: "incident" })).toBe(false);
    r.env.DB = env.DB;
    expect(await r.deliver("wake", { wake_id: wake, kind: "incident" })).toBe(true);
    expect((await ledger()).slack).toHaveLength(1);
    expect((await wakeRow(wake))?.stage).toBe("plain_noticed");
  });
});
