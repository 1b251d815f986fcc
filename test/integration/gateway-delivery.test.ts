import { runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, describe, expect, inject, it } from "vitest";
import { Gateway } from "../../durable-objects/gateway.do";
import type { Offered } from "../../src/gateway";
import { api } from "./connector-kit";
import {
  atHome,
  audits,
  edge,
  gateway,
  inObject,
  type Json,
  made,
  objectOf,
  offerOf,
  ring,
  setting,
  states,
  stopAll,
  stub,
  travel,
} from "./gateway-kit";
import { ledger } from "./notify-kit";

/** The buffer and its drain (hermes-relay §4, §11; design §3), with the scripted gateway at the other end. */

afterEach(async () => {
  stopAll();
  await atHome();
});

const stateOf = async (o: Promise<Offered>): Promise<string> => {
  const offered = await o;
  return offered.outcome === "refused" ? `refused: ${offered.why}` : `${offered.outcome} ${offered.state}`;
};
const waiting = async (m: { to: Parameters<typeof stub>[0] }): Promise<number> => (await stub(m.to).view()).waiting;

describe("write-ahead", () => {
  it("keeps events for a gateway that is not there, in order, and sends them one by one", async () => {
    const m = await made();
    for (let i = 0; i < 20; i++) await stub(m.to).offer(offerOf(m.to, `e${i}`, { chat: `D${i % 3}` }));
    expect(await stub(m.to).view()).toMatchObject({ state: "dead", waiting: 20 });
    const g = gateway(m);
    g.holdAcks = true;
    await g.connect();
    await g.until("first", () => g.handled.length === 1);
    await new Promise((r) => setTimeout(r, 100));
    expect(g.handled).toHaveLength(1);
    g.releaseAcks();
    await g.until("all", () => g.handled.length === 20);
    expect(g.handled.map((h) => h.text)).toEqual(Array.from({ length: 20 }, (_, i) => `e${i}`));
    const ids = g.handled.map((h) => h.bufferId!);
    expect([...ids].sort()).toEqual(ids);
    await expect.poll(() => states(m.to)).toEqual(Array(20).fill("delivered"));
  });

  it("the same event twice at once is stored once, and both callers wait for the same commit", async () => {
    const m = await made();
    const g = gateway(m);
    await g.connect();
    const a = offerOf(m.to, "twin");
    // A retry has the same d1; the twin event of another subscription has the same d2 alone.
    const b = { ...a, d1: `${a.d1}-other` };
    const answers = await Promise.all([a, a, b, a, b].map((o) => stub(m.to).offer(o)));
    expect(answers.map((x) => x.outcome).sort()).toEqual([
      "duplicate",
      "duplicate",
      "duplicate",
      "duplicate",
      "stored",
    ]);
    expect(new Set(answers.map((x) => ("seq" in x ? x.seq : 0))).size).toBe(1);
    await g.until("handled", () => g.handled.length === 1);
    await expect.poll(() => waiting(m)).toBe(0);
    expect(await stub(m.to).offer(a)).toMatchObject({ outcome: "duplicate", state: "delivered" });
    expect(g.handled).toHaveLength(1);
  });

  it("a failed commit takes its keys back and harms no neighbour; the repeat is stored", async () => {
    const m = await made();
    await stub(m.to).offer(offerOf(m.to, "first"));
    const bad = offerOf(m.to, "bad");
    const table = await inObject(m.to, (sql) => {
      const { name } = sql.exec<{ name: string }>("SELECT name FROM sqlite_master WHERE name GLOB 'buf_*'").one();
      sql.exec(
        `CREATE TRIGGER broken BEFORE INSERT ON ${name} WHEN NEW.k1 = '${bad.d1}' BEGIN SELECT RAISE(ABORT, 'disk says no'); END`,
      );
      return name;
    });
    const good = [1, 2, 3].map((n) => offerOf(m.to, `good ${n}`));
    const told = await runInDurableObject(objectOf(m.to), (object) =>
      Promise.allSettled([
        object.offer(good[0]!),
        object.offer(bad),
        object.offer(bad),
        object.offer(good[1]!),
        object.offer(good[2]!),
      ]),
    );
    expect(told.map((t) => t.status)).toEqual(["fulfilled", "rejected", "rejected", "fulfilled", "fulfilled"]);
    expect(await states(m.to)).toEqual(Array(4).fill("queued"));
    await inObject(m.to, (sql) => sql.exec("DROP TRIGGER broken"));
    expect(table).toMatch(/^buf_\d+$/);
    expect(await stateOf(stub(m.to).offer(bad))).toBe("stored queued");
    const g = gateway(m);
    await g.connect();
    await g.until("all", () => g.handled.length === 5);
    expect(g.handled.map((h) => h.text)).toEqual(["first", "good 1", "good 2", "good 3", "bad"]);
  });

  it("an ordinary event costs two row writes", async () => {
    const m = await made();
    const g = gateway(m);
    await g.connect();
    const changes = (): Promise<number> =>
      inObject(m.to, (sql) => sql.exec<{ n: number }>("SELECT total_changes() AS n").one().n);
    // The day's table, the chat, and the one alarm that serves for two minutes.
    for (const text of ["warm", "warmer"]) {
      await stub(m.to).offer(offerOf(m.to, text));
      await expect.poll(() => waiting(m)).toBe(0);
    }
    const before = await changes();
    for (let i = 0; i < 10; i++) await stub(m.to).offer(offerOf(m.to, `e${i}`));
    await g.until("all", () => g.handled.length === 12);
    await expect.poll(() => waiting(m)).toBe(0);
    expect((await changes()) - before).toBe(20);
  });

  it("an event that carries a capability waits for its seal; a repeat finds it so", async () => {
    const m = await made();
    const g = gateway(m);
    await g.connect();
    const held = offerOf(m.to, "held", { held: true });
    const offered = await stub(m.to).offer(held);
    expect(offered).toMatchObject({ outcome: "stored", state: "received" });
    await stub(m.to).offer(offerOf(m.to, "after"));
    expect(await stub(m.to).offer(held)).toMatchObject({ outcome: "duplicate", state: "received" });
    expect(g.handled).toEqual([]);
    await stub(m.to).settle((offered as { seq: number }).seq, true);
    await g.until("both", () => g.handled.length === 2);
    expect(g.handled.map((h) => h.text)).toEqual(["held", "after"]);
    const lost = await stub(m.to).offer(offerOf(m.to, "lost", { held: true }));
    await stub(m.to).settle((lost as { seq: number }).seq, false, "the vault said no");
    expect((await stub(m.to).dead({ limit: 5 })).items).toMatchObject([{ text: "lost", why: "the vault said no" }]);
  });

  it("one that is never sealed holds the others up for 30 s and no longer", async () => {
    const m = await made();
    const g = gateway(m);
    await g.connect();
    await stub(m.to).offer(offerOf(m.to, "held", { held: true }));
    await stub(m.to).offer(offerOf(m.to, "after"));
    await travel(m.to, 31_000);
    expect(await ring(m.to)).toBe(true);
    await g.until("after", () => g.handled.length === 1);
    await travel(m.to, 0);
  });
});

describe("receipts", () => {
  it("an ack names its own row alone: foreign and unknown ids are left out and audited once", async () => {
    const [m, other] = [await made(), await made()];
    const [g, h] = [gateway(m), gateway(other)];
    await g.connect();
    await h.connect();
    g.holdAcks = true;
    h.holdAcks = true;
    await stub(m.to).offer(offerOf(m.to, "mine"));
    await stub(other.to).offer(offerOf(other.to, "theirs"));
    await g.until("mine", () => g.held.length === 1);
    await h.until("theirs", () => h.held.length === 1);
    // A hostile gateway acks another tenant's row, what never was, and all of it again and again.
    for (let i = 0; i < 500; i++) g.send({ type: "inbound_ack", bufferId: h.held[0]! });
    g.send({ type: "inbound_ack", bufferId: "01J00000000000000000000000" });
    await g.outbound({ op: "nope", chat_id: "x" });
    expect([await waiting(m), await waiting(other)]).toEqual([1, 1]);
    expect(await audits("gateway.odd_frame", m.id)).toMatchObject([{ what: "foreign ack" }]);
    expect(g.closes).toEqual([]);
    g.releaseAcks();
    await expect.poll(() => waiting(m)).toBe(0);
    for (let i = 0; i < 3; i++) g.ack(g.acked[0]!);
    await g.outbound({ op: "nope", chat_id: "x" });
    expect(await audits("gateway.odd_frame", m.id)).toHaveLength(1);
    expect(await waiting(other)).toBe(1);
  });

  it("no ack in 120 s closes the socket with 1012; the next handshake begins at that row", async () => {
    const m = await made();
    const g = gateway(m, { build: "old" });
    await g.connect();
    g.holdAcks = true;
    await stub(m.to).offer(offerOf(m.to, "one"));
    await stub(m.to).offer(offerOf(m.to, "two"));
    await g.until("one", () => g.handled.length === 1);
    await travel(m.to, 119_000);
    await ring(m.to);
    expect(g.closes).toEqual([]);
    await travel(m.to, 121_000);
    await ring(m.to);
    await g.until("closed", () => g.closes.length === 1);
    expect(g.closes[0]).toEqual({ code: 1012, reason: "ack timeout" });
    g.holdAcks = false;
    await g.connect();
    await g.until("again", () => g.handled.length === 3);
    expect(g.handled.map((x) => x.text)).toEqual(["one", "one", "two"]);
    expect((await stub(m.to).deliveries({ limit: 5 })).items.map((d) => d.attempts)).toEqual([0, 1]);
    await travel(m.to, 0);
  });

  it("a new build drops the repeat by its id and acks it: one turn", async () => {
    const m = await made();
    const g = gateway(m, { build: "new" });
    await g.connect();
    g.holdAcks = true;
    await stub(m.to).offer(offerOf(m.to, "one"));
    await g.until("one", () => g.handled.length === 1);
    // Its network is gone without a word, and it dials again: the ack was lost on the way.
    g.freeze();
    g.held.splice(0);
    g.holdAcks = false;
    await g.connect();
    await g.until("repeat", () => g.repeats.length === 1);
    await expect.poll(() => waiting(m)).toBe(0);
    expect(g.handled).toHaveLength(1);
  });

  it("a gateway whose handler raises dials again and gets the event again; after 5 attempts it is a dead letter", async () => {
    const m = await made();
    const g = gateway(m, {
      build: "old",
      reconnect: true,
      secondMs: 2,
      handle: (frame) => {
        if ((frame["event"] as Json)["text"] === "poison") throw new Error("handler raised");
      },
    });
    await g.connect();
    await stub(m.to).offer(offerOf(m.to, "poison"));
    await stub(m.to).offer(offerOf(m.to, "next"));
    await g.until("next", () => g.handled.some((h) => h.text === "next"), 9_000);
    expect(g.frames.filter((f) => (f["event"] as Json | undefined)?.["text"] === "poison")).toHaveLength(5);
    const [dead] = (await stub(m.to).dead({ limit: 5 })).items;
    expect(dead).toMatchObject({ text: "poison", attempts: 5, why: "not acked in 5 attempts", state: "dead" });
    await ring(m.to);
    expect(await audits("webhook.dead_letter", m.to.instance)).toMatchObject([{ seq: dead!.seq, attempts: 5 }]);
    const row = await env.DB.prepare("SELECT kind, reason, payload FROM dead_letter WHERE id = ?")
      .bind(`delivery:${dead!.buffer_id}`)
      .first<{ kind: string; reason: string; payload: string }>();
    expect(row).toMatchObject({ kind: "delivery", reason: "not acked in 5 attempts" });
    expect(row!.payload).not.toContain("poison");
    g.stop();
  });

  it("a passthrough without an ack is passed after 10 s; with one at once", async () => {
    const m = await made(["discord"]);
    const g = gateway(m, { identities: [{ platform: "discord" }], ackPassthrough: false });
    await g.connect();
    const passthrough = {
      platform: "discord" as const,
      botId: "B",
      method: "POST",
      path: "/i",
      headers: [],
      bodyB64: "e30=",
    };
    await stub(m.to).offer(offerOf(m.to, "", { platform: "discord", stored: { passthrough } }));
    await stub(m.to).offer(offerOf(m.to, "after", { platform: "discord" }));
    await g.until("forward", () => g.handled.length === 1);
    expect(g.handled[0]!.frame).toMatchObject({
      type: "passthrough_forward",
      forward: passthrough,
      bufferId: expect.any(String),
    });
    await travel(m.to, 11_000);
    await ring(m.to);
    await g.until("after", () => g.handled.length === 2);
    expect((await stub(m.to).deliveries({ limit: 5 })).items.at(-1)).toMatchObject({
      state: "delivered",
      acked_at: null,
      why: expect.any(String),
    });
    expect(g.closes).toEqual([]);
    await travel(m.to, 0);
  });
});

describe("what can't be kept or sent", () => {
  it("more than an instance may hold: the oldest become dead letters", async () => {
    const m = await made();
    await stub(m.to).offer(offerOf(m.to, "e0"));
    const back = await setting(m.to, 3);
    for (let i = 1; i < 6; i++) await stub(m.to).offer(offerOf(m.to, `e${i}`));
    back();
    expect(await states(m.to)).toEqual(["dead", "dead", "dead", "queued", "queued", "queued"]);
    expect((await stub(m.to).dead({ limit: 2 })).items.map((d) => d.text)).toEqual(["e2", "e1"]);
  });

  it("72 h, and a press after 1 h: dead; the tables of days long past are dropped", async () => {
    const m = await made();
    const press = { message_type: "command" as const, prompt_response: { prompt_id: "p", option_id: "once" } };
    await stub(m.to).offer(offerOf(m.to, "/once", { event: press }));
    await stub(m.to).offer(offerOf(m.to, "message"));
    await travel(m.to, 3_601_000);
    await ring(m.to);
    expect(await states(m.to)).toEqual(["dead", "queued"]);
    await travel(m.to, 73 * 3_600_000);
    await ring(m.to);
    expect(await states(m.to)).toEqual(["dead", "dead"]);
    await travel(m.to, 6 * 86_400_000);
    await stub(m.to).tidy();
    const tables = await inObject(m.to, (sql) =>
      sql.exec("SELECT name FROM sqlite_master WHERE name GLOB 'buf_*'").toArray(),
    );
    expect(tables).toEqual([]);
    expect((await stub(m.to).dead({ limit: 5 })).items.map((d) => d.why)).toEqual([
      "waited 72 h",
      "press expired after 1 h",
    ]);
    await travel(m.to, 0);
  });

  it("a passthrough that would not fit is dropped with a word, never retried", async () => {
    const m = await made(["discord"]);
    const g = gateway(m, { identities: [{ platform: "discord" }] });
    await g.connect();
    const passthrough = {
      platform: "discord" as const,
      botId: "B",
      method: "POST",
      path: "/i",
      headers: [],
      bodyB64: "A".repeat(950_000),
    };
    await stub(m.to).offer(offerOf(m.to, "", { platform: "discord", stored: { passthrough } }));
    await stub(m.to).offer(offerOf(m.to, "x".repeat(990_000), { platform: "discord" }));
    await g.until("the next", () => g.handled.length === 1);
    expect(g.closes).toEqual([]);
    expect(g.handled[0]!.text).toMatch(/\[cut: /);
    expect((await stub(m.to).dead({ limit: 5 })).items).toMatchObject([{ why: "larger than a gateway takes" }]);
  });

  it("more than a row can hold is refused, and its neighbours are stored", async () => {
    const m = await made();
    const told = await Promise.all(
      [offerOf(m.to, "a"), offerOf(m.to, "\u0001".repeat(400_000)), offerOf(m.to, "b")].map((o) =>
        stateOf(stub(m.to).offer(o)),
      ),
    );
    expect(told).toEqual(["stored queued", "refused: too large to be stored", "stored queued"]);
  });
});

describe("replay", () => {
  it("a dead letter goes again at the end, once; what was delivered only when dedupe is overridden", async () => {
    const m = await made();
    const g = gateway(m, { build: "old" });
    const back = await setting(m.to, 1);
    for (const text of ["a", "b", "c"]) await stub(m.to).offer(offerOf(m.to, text));
    back();
    await g.connect();
    await g.until("c", () => g.handled.length === 1);
    await expect.poll(() => waiting(m)).toBe(0);
    const [b, a] = (await stub(m.to).dead({ limit: 5 })).items;
    const [one, two] = await Promise.all([
      stub(m.to).replay({ seqs: [a!.seq] }),
      stub(m.to).replay({ seqs: [a!.seq] }),
    ]);
    expect([one!.replayed.length + two!.replayed.length, one!.skipped.length + two!.skipped.length]).toEqual([1, 1]);
    await g.until("a", () => g.handled.length === 2);
    expect((await stub(m.to).replay({ all: true })).replayed.map((r) => r.seq)).toEqual([b!.seq]);
    await g.until("b", () => g.handled.length === 3);
    expect(g.handled.map((h) => h.text)).toEqual(["c", "a", "b"]);
    await expect.poll(() => waiting(m)).toBe(0);
    const delivered = (await stub(m.to).deliveries({ state: "delivered", q: '"c"', limit: 1 })).items[0]!;
    expect(await stub(m.to).replay({ seqs: [delivered.seq] })).toEqual({
      replayed: [],
      skipped: [{ seq: delivered.seq, why: "it was delivered" }],
    });
    expect((await stub(m.to).replay({ from: a!.seq, to: b!.seq })).skipped).toHaveLength(2);
    expect((await stub(m.to).replay({ seqs: [delivered.seq, a!.seq], override_dedupe: true })).replayed).toHaveLength(
      2,
    );
    await g.until("both", () => g.handled.length === 5);
    expect((await stub(m.to).replay({ seqs: [1] })).skipped).toHaveLength(1);
    // The keys stand for the newest copy: the platform's repeat is still none.
    expect(await stub(m.to).view()).toMatchObject({ dead: 0 });
  });

  it("stands in the common list of dead letters, and can be sent again from there, once", async () => {
    const m = await made();
    const lost = await stub(m.to).offer(offerOf(m.to, "lost", { held: true }));
    await stub(m.to).settle((lost as { seq: number }).seq, false, "the vault said no");
    await ring(m.to);
    const [dead] = (await stub(m.to).dead({ limit: 1 })).items;
    const path = `/dead-letters/${encodeURIComponent(`delivery:${dead!.buffer_id}`)}/replay`;
    // The alarm may have rung by itself, and be at it.
    await expect.poll(async () => (await api("POST", path)).status).toBe(202);
    expect((await api("POST", path)).status).toBe(409);
    const g = gateway(m);
    await g.connect();
    await g.until("lost", () => g.handled.length === 1);
    expect((await stub(m.to).dead({ limit: 1 })).items[0]!.replayed_as).toBeGreaterThan(dead!.seq);
  });

  it("deliveries can be searched and paged", async () => {
    const m = await made();
    for (let i = 0; i < 7; i++) await stub(m.to).offer(offerOf(m.to, `note ${i % 2 ? "Odd" : "even"} ${i}`));
    const first = await stub(m.to).deliveries({ limit: 3 });
    expect(first.items.map((d) => d.text)).toEqual(["note even 6", "note Odd 5", "note even 4"]);
    const second = await stub(m.to).deliveries({ limit: 3, before: first.next! });
    expect(second.items.map((d) => d.text)).toEqual(["note Odd 3", "note even 2", "note Odd 1"]);
    expect((await stub(m.to).deliveries({ q: "oDD", limit: 9 })).items).toHaveLength(3);
    expect((await stub(m.to).deliveries({ state: "dead", limit: 9 })).items).toEqual([]);
    expect(first.items[0]).toMatchObject({
      platform: "slack",
      chat_id: "D100",
      user_id: "U100",
      key: expect.stringMatching(/^slack:app:/),
    });
  });
});

describe("going idle", () => {
  it("granted after the event in flight; what comes then is kept, pokes once, and goes to the next handshake", async () => {
    const m = await made();
    await env.DB.prepare("UPDATE instance SET wake_url = ? WHERE tenant = ? AND id = ?")
      .bind(`${inject("platformsUrl")}/wake?i=${m.to.instance}`, m.to.tenant, m.to.instance)
      .run();
    const wakes = async () => (await ledger()).wakes.filter((w) => w.path.includes(m.to.instance));
    const g = gateway(m, { secondMs: 100 });
    await g.connect();
    g.holdAcks = true;
    await stub(m.to).offer(offerOf(m.to, "in flight"));
    await g.until("in flight", () => g.handled.length === 1);
    const granted = g.goingIdle();
    await stub(m.to).offer(offerOf(m.to, "after"));
    expect(await stub(m.to).view()).toMatchObject({ state: "going idle" });
    expect(g.frames.some((f) => f["type"] === "going_idle_ack")).toBe(false);
    g.releaseAcks();
    expect(await granted).toBe(true);
    expect(await g.goingIdle()).toBe(true);
    await stub(m.to).offer(offerOf(m.to, "asleep 1"));
    expect(g.handled).toHaveLength(1);
    g.stop();
    await expect.poll(async () => (await stub(m.to).view()).state).toBe("asleep");
    await stub(m.to).offer(offerOf(m.to, "asleep 2"));
    await travel(m.to, 6_000);
    await ring(m.to);
    await ring(m.to);
    expect(await wakes()).toMatchObject([{ method: "GET", body: "" }]);
    const { headers } = (await wakes())[0]!;
    expect(headers.filter((h) => /auth|cookie|tenant/i.test(h))).toEqual([]);
    await travel(m.to, 60_000);
    await ring(m.to);
    expect(await wakes()).toHaveLength(1);
    await travel(m.to, 67_000);
    await ring(m.to);
    expect(await wakes()).toHaveLength(2);
    await travel(m.to, 0);
    const again = gateway(m);
    await again.connect();
    await again.until("all", () => again.handled.length === 3);
    expect(again.handled.map((h) => h.text)).toEqual(["after", "asleep 1", "asleep 2"]);
    await expect.poll(async () => (await stub(m.to).view()).state).toBe("on");
    expect(await inObject(m.to, (_sql, state) => state.storage.kv.get("flip") ?? null)).toBeNull();
  });

  it("a gateway that stays after all and speaks 30 s later gets events again", async () => {
    const m = await made();
    const g = gateway(m);
    await g.connect();
    expect(await g.goingIdle()).toBe(true);
    await stub(m.to).offer(offerOf(m.to, "kept"));
    await g.outbound({ op: "nope", chat_id: "D1" });
    expect(g.handled).toEqual([]);
    await travel(m.to, 31_000);
    await g.outbound({ op: "nope", chat_id: "D1" });
    await g.until("kept", () => g.handled.length === 1);
    await travel(m.to, 0);
  });

  it("an old process that goes to sleep does not silence the new one that took its place", async () => {
    const m = await made();
    const [old, young] = [gateway(m), gateway(m)];
    await old.connect();
    await young.connect();
    expect(await old.goingIdle()).toBe(true);
    await stub(m.to).offer(offerOf(m.to, "for the new"));
    await young.until("handled", () => young.handled.length === 1);
  });

  it("a poke follows redirects on its host alone, and a dead wake URL stops nothing", async () => {
    const m = await made();
    const base = inject("platformsUrl");
    const set = (url: string) =>
      env.DB.prepare("UPDATE instance SET wake_url = ? WHERE tenant = ? AND id = ?")
        .bind(url, m.to.tenant, m.to.instance)
        .run();
    const before = (await ledger()).wakes.length;
    await set(`${base}/wake-moved`);
    await stub(m.to).offer(offerOf(m.to, "a"));
    await ring(m.to);
    const paths = async () => (await ledger()).wakes.slice(before).map((w) => w.path);
    // The alarm is due at once, and may have rung before the test did.
    await expect.poll(paths).toEqual(["/wake-moved", "/wake-there"]);
    for (const [i, url] of [
      `${base}/wake-away`,
      "http://example.com/",
      "https://10.0.0.1/",
      "http://127.0.0.1:1/",
    ].entries()) {
      await set(url);
      await travel(m.to, (i + 1) * 3_600_000);
      await ring(m.to);
    }
    expect(await paths()).toEqual(["/wake-moved", "/wake-there", "/wake-away"]);
    await travel(m.to, 0);
    const g = gateway(m);
    await g.connect();
    await g.until("a", () => g.handled.length === 1);
  });
});

describe("interrupts", () => {
  it("reach the instance that runs the session, inside its tenant alone", async () => {
    const m = await made();
    const sibling = await made(["slack"], m.to.tenant);
    const foreign = await made();
    const [g, s, f] = [gateway(m), gateway(sibling), gateway(foreign)];
    for (const x of [g, s, f]) await x.connect();
    await stub(m.to).offer(offerOf(m.to, "x", { chat: "D1", user: "U1" }));
    await stub(sibling.to).offer(offerOf(sibling.to, "x", { chat: "D2", user: "U2" }));
    await stub(foreign.to).offer(offerOf(foreign.to, "x", { chat: "D3", user: "U3" }));
    const key = (chat: string): string => `agent:main:slack:dm:T100:${chat}`;
    g.send({ type: "interrupt", session_key: key("D1"), reason: "stop" });
    g.send({ type: "interrupt", session_key: key("D2"), reason: null });
    g.send({ type: "interrupt", session_key: key("D3") });
    g.send({ type: "interrupt", session_key: "agent:main:slack:dm:T100:D9" });
    await g.until("echo", () => g.interrupts().length === 1);
    await s.until("routed", () => s.interrupts().length === 1);
    await g.outbound({ op: "nope", chat_id: "D1" });
    expect(g.interrupts()).toEqual([{ type: "interrupt_inbound", session_key: key("D1"), chat_id: "D1" }]);
    expect(s.interrupts()).toEqual([{ type: "interrupt_inbound", session_key: key("D2"), chat_id: "D2" }]);
    expect(f.interrupts()).toEqual([]);
    expect(await stub(m.to).ownsSession("agent:main:slack:dm:D1")).toBe(true);
    expect(await stub(m.to).ownsSession(key("D3"))).toBe(false);
  });

  it("with nobody listening one waits for a minute, is never stored, and expires", async () => {
    const m = await made();
    await stub(m.to).offer(offerOf(m.to, "x", { chat: "D1" }));
    expect(await stub(m.to).interruptFor("agent:main:slack:dm:T100:D1")).toBe(true);
    const g = gateway(m);
    await g.connect();
    await g.until("interrupt", () => g.interrupts().length === 1);
    g.stop();
    await expect.poll(async () => (await stub(m.to).view()).sockets.length).toBe(0);
    await stub(m.to).interruptFor("agent:main:slack:dm:T100:D1");
    await travel(m.to, 61_000);
    const late = gateway(m);
    await late.connect();
    await late.outbound({ op: "nope", chat_id: "D1" });
    expect(late.interrupts()).toEqual([]);
    await travel(m.to, 0);
  });
});

describe("albums, deletions", () => {
  it("three pictures within a second are one event, acked as one", async () => {
    const m = await made(["telegram"]);
    const g = gateway(m, { identities: [{ platform: "telegram" }] });
    await g.connect();
    const picture = (n: number, text = "") => {
      const url = `https://cdn.example/${n}.jpg`;
      const media = [{ url, kind: "image" as const, mime: "image/jpeg", size: 1, filename: null, caption: null }];
      return offerOf(m.to, text, {
        platform: "telegram",
        event: { media, media_urls: [url], message_type: "photo" },
        stored: { album: "g1" },
      });
    };
    await stub(m.to).offer(picture(1));
    await stub(m.to).offer(picture(2, "look"));
    await stub(m.to).offer(picture(3));
    expect(g.handled).toEqual([]);
    await travel(m.to, 1_100);
    await ring(m.to);
    await g.until("album", () => g.handled.length === 1);
    const event = g.handled[0]!.frame["event"] as { text: string; media_urls: string[] };
    expect(event).toMatchObject({ text: "look", media_urls: [1, 2, 3].map((n) => `https://cdn.example/${n}.jpg`) });
    await expect.poll(() => states(m.to)).toEqual(["delivered", "delivered", "delivered"]);
    await travel(m.to, 0);
  });

  it("what its author deleted while it waited is not sent and leaves no text behind", async () => {
    const m = await made();
    const gone = offerOf(m.to, "regretted");
    await stub(m.to).offer(gone);
    await stub(m.to).offer(offerOf(m.to, "meant"));
    expect(await stub(m.to).withdraw("slack", "D100", gone.stored.event.message_id!)).toBe("withdrawn");
    expect(await stub(m.to).withdraw("slack", "D100", "nope")).toBe("unknown");
    const g = gateway(m);
    await g.connect();
    await g.until("meant", () => g.handled.length === 1);
    expect(g.handled[0]!.text).toBe("meant");
    expect(JSON.stringify(await stub(m.to).deliveries({ limit: 9 }))).not.toContain("regretted");
    expect(await stub(m.to).offer(gone)).toMatchObject({ outcome: "duplicate", state: "dead" });
  });
});

it("all of it survives a wake: what is in flight, the flip, the ids, the keys", async () => {
  const m = await made();
  const g = gateway(m, { secondMs: 200 });
  await g.connect();
  g.holdAcks = true;
  const one = offerOf(m.to, "one");
  await stub(m.to).offer(one);
  await stub(m.to).offer(offerOf(m.to, "two"));
  await g.until("one", () => g.handled.length === 1);
  const bufferId = g.held[0]!;
  await runInDurableObject(objectOf(m.to), async (_live, state) => {
    const [ws] = state.getWebSockets();
    // Each time a new instance over the same storage and sockets, as after hibernation.
    expect(await new Gateway(state, edge).offer(one)).toMatchObject({ outcome: "duplicate", state: "queued" });
    await new Gateway(state, edge).alarm();
    expect(g.handled).toHaveLength(1);
    await new Gateway(state, edge).webSocketMessage(ws!, `${JSON.stringify({ type: "inbound_ack", bufferId })}\n`);
  });
  await g.until("two", () => g.handled.length === 2);
  expect(g.handled.map((h) => h.text)).toEqual(["one", "two"]);
  await runInDurableObject(objectOf(m.to), async (_live, state) => {
    const [ws] = state.getWebSockets();
    await new Gateway(state, edge).webSocketMessage(ws!, '{"type":"going_idle"}\n');
    const woken = new Gateway(state, edge);
    await woken.webSocketMessage(ws!, `${JSON.stringify({ type: "inbound_ack", bufferId: g.held[1] })}\n`);
    expect(await woken.view()).toMatchObject({ state: "going idle", waiting: 0 });
  });
  await g.until("granted", () => g.frames.some((f) => f["type"] === "going_idle_ack"));
});
