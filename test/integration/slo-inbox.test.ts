import { createExecutionContext, createMessageBatch, getQueueResult } from "cloudflare:test";
import { describe, expect, it } from "vitest";
import { sloClaims } from "../../durable-objects/slo-claims.stub";
import { consumeDead } from "../../src/consumer/dead.consumer";
import type { ConsumerEnv } from "../../src/consumer/env";
import { endProbe, type SloMessage, storeProbes, sweepProbes } from "../../src/hooks";
import { MINUTE } from "../../src/kernel/clock";
import { edge, message, PING, post, probe, rowsOf, wake } from "./hooks-kit";
import { consume, queued, recordOf, type Setting, setting } from "./slo-kit";

/**
 * The row behind an accepted probe: there before the answer, gone when the probe has ended, sent again in between. Real route, D1
 * and objects; queues are tapped, and what a queue lost is what a test does not hand on. Kills of the process are the drill's.
 */

const push = (at: Setting, ...messages: Record<string, unknown>[]) => ({
  ...wake(...messages),
  ...{ to_agent: at.agent.toLowerCase(), to_agent_id: at.agent },
});

const inbox = async (at: Setting): Promise<{ message_id: string; probe: string; next_at: number }[]> =>
  (
    await edge.DB.prepare("SELECT * FROM slo_inbox WHERE agent_id = ? ORDER BY message_id")
      .bind(at.agent)
      .all<{ message_id: string; probe: string; next_at: number }>()
  ).results;
const ids = async (at: Setting): Promise<string[]> => (await inbox(at)).map((r) => r.message_id);

/** What the sweeper sends of this agent at that time. */
async function swept(at: Setting, when: number): Promise<SloMessage[]> {
  const sent: SloMessage[] = [];
  await sweepProbes(edge.DB, when, async (probes) => void sent.push(...probes), 1_000);
  return sent.filter((p) => p.agent_id === at.agent);
}

/** One message through the dead-letter queue's handler. */
async function dead(body: SloMessage): Promise<{ acked: number; retried: number }> {
  const env = { ...edge, WAKE_QUEUE: { sendBatch: async () => {} } } as unknown as ConsumerEnv;
  const one = { id: crypto.randomUUID(), timestamp: new Date(), attempts: 1, body };
  const batch = createMessageBatch("reveille-slo-dead", [one]);
  await consumeDead(batch, env, "slo");
  const result = await getQueueResult(batch, createExecutionContext());
  return { acked: result.explicitAcks.length, retried: result.retryMessages.length };
}

describe("an accepted probe", () => {
  it("has its row, which goes when it is answered; an ordinary message of the batch has none", async () => {
    const at = await setting();
    const { status, sent } = await post(at.hook, push(at, message("real"), probe("M1")));
    expect([status, sent.slo.length, sent.wake.length]).toEqual([202, 1, 1]);
    const rows = await inbox(at);
    expect(rows.map((r) => r.message_id)).toEqual(["M1"]);
    expect(JSON.parse(rows[0]!.probe)).toEqual(sent.slo[0]);
    expect(await consume(sent.slo)).toMatchObject({ acked: 1 });
    expect(await ids(at)).toEqual([]);
    expect((await at.ledger()).pongs).toHaveLength(1);
  });

  it("that the queue lost is sent again after a minute, word for word, and once a minute", async () => {
    const at = await setting();
    const { sent } = await post(at.hook, push(at, probe("M1")));
    const now = Date.now();
    expect(await swept(at, now + MINUTE - 5_000)).toEqual([]);
    const found = await swept(at, now + MINUTE + 1_000);
    expect(found).toEqual(sent.slo);
    expect(await swept(at, now + MINUTE + 2_000)).toEqual([]);
    expect(await swept(at, now + 3 * MINUTE)).toEqual(sent.slo);
    // Both copies arrive after all.
    expect(await consume([...found, ...sent.slo])).toMatchObject({ wakes: [] });
    expect(await consume(found)).toMatchObject({ acked: 1 });
    expect((await at.ledger()).pongs).toHaveLength(1);
    expect(await ids(at)).toEqual([]);
  });

  it("is refused when the row or the queue fails, and a sweep that can't send keeps the row's turn", async () => {
    const at = await setting();
    expect((await post(at.hook, push(at, probe("M1")), { broken: ["db"] })).status).toBe(503);
    expect(await ids(at)).toEqual([]);
    expect((await post(at.hook, push(at, probe("M1")), { broken: ["slo"] })).status).toBe(503);
    expect(await ids(at)).toEqual(["M1"]);
    const later = Date.now() + 2 * MINUTE;
    const fails = sweepProbes(edge.DB, later, async () => Promise.reject(new Error("queue gone")));
    await expect(fails).rejects.toThrow("queue gone");
    expect(await swept(at, later)).toHaveLength(1);
  });

  it("costs one row written on the way in and one on the way out", async () => {
    const at = await setting();
    const body = queued(at);
    const written = async (work: Promise<D1PreparedStatement>): Promise<number> =>
      (await (await work).run()).meta.rows_written;
    expect(await written(storeProbes(edge.DB, [body], Date.now()))).toBe(1);
    expect(await written(storeProbes(edge.DB, [body], Date.now()))).toBe(0);
    expect(await written(endProbe(edge.DB, body))).toBe(1);
    expect(await written(endProbe(edge.DB, body))).toBe(0);
  });

  it("keeps odd ids and a hundred probes of one push apart", async () => {
    const at = await setting();
    const odd = ["a\u0000b", "a\u0000c", "x y/ü", `${"l".repeat(150)}1`, `${"l".repeat(150)}2`];
    const many = Array.from({ length: 120 }, (_, i) => probe(`n${i}`));
    const { status, sent } = await post(at.hook, push(at, ...odd.map(probe), ...many));
    expect([status, sent.slo.length]).toEqual([202, 125]);
    expect(await ids(at)).toHaveLength(125);
    const found = await swept(at, Date.now() + 2 * MINUTE);
    expect(found.map((p) => p.message_id).sort()).toEqual(sent.slo.map((p) => p.message_id).sort());
    for (const p of found.filter((f) => odd.includes(f.message_id))) await (await endProbe(edge.DB, p)).run();
    expect((await ids(at)).every((id) => /^n\d+$/.test(id))).toBe(true);
  });
});

describe("a row that is left", () => {
  it("by a run that died after its answer is ended by the next copy, without a call", async () => {
    const at = await setting();
    const { sent } = await post(at.hook, push(at, probe("M1")));
    await consume(sent.slo);
    await (await storeProbes(edge.DB, sent.slo, 0)).run();
    const asked = (await at.ledger()).requests;
    const found = await swept(at, Date.now());
    expect(await consume(found)).toMatchObject({ acked: 1, wakes: [] });
    expect(await ids(at)).toEqual([]);
    expect((await at.ledger()).requests).toBe(asked);
  });

  it("by a run that died between ack and reply: the swept copy replies, once", async () => {
    const at = await setting();
    const { sent } = await post(at.hook, push(at, probe("M1")));
    const claims = sloClaims(edge.AGENT, at.agent);
    const then = Date.now() - MINUTE;
    await claims.claimProbe({ message_id: "M1", token: "gone", endpoint: at.peer, received_at: then, now: then });
    await claims.advanceProbe({ message_id: "M1", token: "gone", to: "acked", status: null, now: then });
    expect(sent.slo).toHaveLength(1);
    await consume(await swept(at, Date.now() + 2 * MINUTE));
    expect((await at.ledger()).calls.map((c) => c.tool)).toEqual(["agent_reply"]);
    expect((await at.ledger()).pongs.map((p) => p.body)).toEqual([PING.replace("PING", "PONG")]);
    expect(await ids(at)).toEqual([]);
  });

  it("goes when the probe falls through, and stays when that could not be stored", async () => {
    const at = await setting();
    await at.control({ mode: "500" });
    const { sent } = await post(at.hook, push(at, probe("M1")));
    const queue = { sendBatch: async () => Promise.reject(new Error("queue gone")) };
    expect(await consume(sent.slo, { WAKE_QUEUE: queue })).toMatchObject({ retried: 1 });
    expect(await ids(at)).toEqual(["M1"]);
    const other = await setting();
    await other.control({ mode: "500" });
    const again = await post(other.hook, push(other, probe("M1")));
    expect(await consume(again.sent.slo)).toMatchObject({ acked: 1 });
    expect(await ids(other)).toEqual([]);
    expect((await rowsOf(other.hook)).map((r) => r.via)).toEqual(["fall_through"]);
  });
});

describe("a dead letter", () => {
  it("goes the normal way once; a copy that is still about is not answered then", async () => {
    const at = await setting();
    const { sent } = await post(at.hook, push(at, probe("M1")));
    expect(await dead(sent.slo[0]!)).toEqual({ acked: 1, retried: 0 });
    expect((await rowsOf(at.hook)).map((r) => r.via)).toEqual(["fall_through"]);
    expect(await recordOf(at)).toMatchObject({ state: "fell_through" });
    expect(await ids(at)).toEqual([]);
    expect(await consume(sent.slo)).toMatchObject({ acked: 1, wakes: [] });
    expect((await at.ledger()).requests).toBe(0);
  });

  it("waits while another run holds the probe, and says how it ended", async () => {
    const at = await setting();
    const body = queued(at);
    const claims = sloClaims(edge.AGENT, at.agent);
    const ask = { message_id: "M1", token: "other", endpoint: at.peer, received_at: 1, now: Date.now() };
    await claims.claimProbe(ask);
    expect(await dead(body)).toEqual({ acked: 0, retried: 1 });
    await claims.advanceProbe({ message_id: "M1", token: "other", to: "ponged", status: "ok", now: Date.now() });
    expect(await dead(body)).toEqual({ acked: 1, retried: 0 });
    expect(await rowsOf(at.hook)).toEqual([]);
    const letter = await edge.DB.prepare("SELECT reason FROM dead_letter WHERE kind = 'slo' AND payload LIKE ?")
      .bind(`%${at.agent}%`)
      .first<{ reason: string }>();
    expect(letter?.reason).toMatch(/itself ended: ponged/);
  });
});
