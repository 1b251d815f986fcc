import { runInDurableObject } from "cloudflare:test";
import { exports } from "cloudflare:workers";
import { afterEach, describe, expect, it, vi } from "vitest";
import { Gateway } from "../../durable-objects/gateway.do";
import worker from "../../src/edge";
import type { EdgeEnv } from "../../src/edge/env";
import { upgradeToken } from "../support/gateway-core";
import { api } from "./connector-kit";
import {
  audits,
  edge,
  gateway,
  type Made,
  made,
  objectOf,
  offerOf,
  ring,
  type ScriptedGateway,
  stopAll,
  stub,
  travel,
} from "./gateway-kit";

/** GET /relay, the handshake, framing and the rules of closing (hermes-relay §1-§3, §11), through the real route. */

afterEach(stopAll);

const upgrade = async (authorization: string | null, path = "/relay", bindings: Partial<EdgeEnv> = {}) => {
  const request = new Request(`http://reveille.test${path}`, {
    headers: { upgrade: "websocket", ...(authorization === null ? {} : { authorization }) },
  });
  const ctx = { waitUntil: () => {}, passThroughOnException: () => {}, props: {} } as unknown as ExecutionContext;
  return worker.fetch(request as Request<unknown, IncomingRequestCfProperties>, { ...edge, ...bindings }, ctx);
};
const exp = (s: number): number => Math.floor(Date.now() / 1000) + s;
const closeOf = (response: Response): Promise<{ code: number; reason: string }> =>
  new Promise((resolve) => {
    response.webSocket!.accept();
    response.webSocket!.addEventListener("close", (e) => resolve({ code: e.code, reason: e.reason }));
  });

describe("the upgrade", () => {
  it("426 without an upgrade, 400 on every other path below /relay", async () => {
    const plain = await exports.default.fetch("http://reveille.test/relay");
    expect([plain.status, await plain.json()]).toEqual([426, { error: expect.stringMatching(/upgrade/) }]);
    for (const path of ["/relay/", "/relay/x", "/relay/enroll", "/relay/media/1", "/relayed"])
      expect((await upgrade(null, path)).status, path).toBe(400);
  });

  it("refused credentials: 101, then 4401 in so many words; the object never hears of it", async () => {
    const m = await made();
    const good = await upgradeToken(m.id, m.secret, exp(300));
    const other = await made();
    for (const authorization of [
      null,
      "Bearer x",
      `Bearer ${await upgradeToken(m.id, "wrong", exp(300))}`,
      `Bearer ${await upgradeToken("nobody", m.secret, exp(300))}`,
      // Another gateway's secret under this id, and an expired token with a wrong signature.
      `Bearer ${await upgradeToken(m.id, other.secret, exp(300))}`,
      `Bearer ${await upgradeToken(m.id, "wrong", exp(-300))}`,
      `Basic ${good}`,
    ]) {
      const response = await upgrade(authorization);
      expect(response.status).toBe(101);
      expect(await closeOf(response)).toEqual({ code: 4401, reason: "unauthorized" });
    }
    expect(await stub(m.to).view()).toMatchObject({ sockets: [], last_seen: null });
  });

  it("an expired token with a good signature: 401 before the upgrade, never a close code; 30 s of skew are allowed", async () => {
    const m = await made();
    const late = await upgrade(`Bearer ${await upgradeToken(m.id, m.secret, exp(-31))}`);
    expect([late.status, late.webSocket]).toEqual([401, null]);
    const skewed = await upgrade(`Bearer ${await upgradeToken(m.id, m.secret, exp(-20))}`);
    expect(skewed.status).toBe(101);
    skewed.webSocket!.accept();
    skewed.webSocket!.close(1000, "");
    const forever = await upgrade(`Bearer ${await upgradeToken(m.id, m.secret, 0)}`);
    expect(forever.status).toBe(101);
    forever.webSocket!.accept();
    forever.webSocket!.close(1000, "");
  });

  it("what fails on our side is a 503, never a refusal", async () => {
    const m = await made();
    const token = `Bearer ${await upgradeToken(m.id, m.secret, exp(300))}`;
    const broken = {
      prepare: () => {
        throw new Error("D1_ERROR: down");
      },
    } as unknown as D1Database;
    expect((await upgrade(token, "/relay", { DB: broken })).status).toBe(503);
    const full = { limit: async () => ({ success: false }) } as RateLimit;
    const busy = await worker.fetch(
      new Request("http://reveille.test/relay", {
        headers: { upgrade: "websocket", authorization: token, "cf-connecting-ip": "192.0.2.1" },
      }) as Request<unknown, IncomingRequestCfProperties>,
      { ...edge, SESSION_LIMIT: full },
      {} as ExecutionContext,
    );
    expect([busy.status, busy.headers.get("retry-after")]).toEqual([503, "5"]);
  });

  it("a socket outlives the token that opened it", async () => {
    const m = await made();
    const g = gateway(m);
    await g.connect();
    await travel(m.to, 3_600_000);
    await stub(m.to).offer(offerOf(m.to, "later"));
    await g.until("handled", () => g.handled.length === 1);
    await travel(m.to, 0);
  });

  it("both secrets of a rotation open the door", async () => {
    const m = await made();
    const rotated = await api<{ secret: string }>("POST", `/gateways/${m.id}/rotate`);
    expect(rotated.status).toBe(200);
    for (const secret of [m.secret, rotated.json.secret]) {
      const g = gateway({ ...m, secret });
      await g.connect();
      expect(g.descriptors).toHaveLength(1);
    }
  });
});

describe("the handshake", () => {
  it("one descriptor a greeting, in order; a foreign platform gets one too, and nothing else", async () => {
    const m = await made(["slack", "telegram"]);
    const g = gateway(m, {
      identities: [
        { platform: "telegram" },
        { platform: "discord", botId: "X" },
        { platform: "slack", botId: "B-slack" },
      ],
    });
    await g.connect();
    expect(g.descriptors.map((d) => d["platform"])).toEqual(["telegram", "discord", "slack"]);
    for (const d of g.descriptors) expect(d).toMatchObject({ contract_version: 1, label: expect.any(String) });
    const result = await g.outbound({ op: "send", chat_id: "1", content: "x" }, { platform: "discord", botId: "X" });
    expect(result).toEqual({ success: false, error: "platform not provisioned for this gateway" });
    await stub(m.to).offer(offerOf(m.to, "not for it", { platform: "discord" }));
    await stub(m.to).offer(offerOf(m.to, "for it"));
    await g.until("handled", () => g.handled.length > 0);
    expect(g.handled.map((h) => h.text)).toEqual(["for it"]);
    // Its ack is on the way.
    await vi.waitFor(async () => expect(await stub(m.to).view()).toMatchObject({ waiting: 1 }));
  });

  it("an unconfigured gateway speaks for its record's platforms", async () => {
    const m = await made(["telegram"]);
    const g = gateway(m, { identities: [{ platform: "relay" }] });
    await g.connect();
    expect(g.descriptors[0]).toMatchObject({ platform: "telegram", len_unit: "utf16", max_message_length: 4096 });
    await stub(m.to).offer(offerOf(m.to, "hi", { platform: "telegram" }));
    await g.until("handled", () => g.handled.length === 1);
  });

  it("an op that names a bot of somebody else is refused; a malformed one is answered", async () => {
    const m = await made(["slack"]);
    const g = gateway(m);
    await g.connect();
    const op = { op: "send", chat_id: "D1", content: "x" };
    for (const more of [{ platform: "slack", botId: "B-other" }, { platform: "telegram" }])
      expect(await g.outbound(op, more)).toMatchObject({ error: "platform not provisioned for this gateway" });
    g.send({ type: "outbound", requestId: "r1", action: { content: 1 } });
    await g.until("answer", () => g.frames.some((f) => f["requestId"] === "r1"));
    expect(g.frames.find((f) => f["requestId"] === "r1")).toMatchObject({ result: { success: false } });
  });
});

describe("framing", () => {
  it("frames split over messages, several in one, as bytes; the rest survives a wake", async () => {
    const m = await made();
    const g = gateway(m);
    await g.connect();
    const idle = '{"type":"going_idle"}\n';
    const hello = JSON.stringify({ type: "hello", platform: "slack", botId: "ü" });
    const bytes = new TextEncoder().encode(`${hello}\n`);
    const cut = bytes.indexOf(0xbc);
    // Handed over here: under load the pool may let one message overtake another (gateway-restart.test.ts proves the real order).
    await runInDurableObject(objectOf(m.to), async (live, state) => {
      const ws = state.getWebSockets()[0]!;
      for (const part of [bytes.slice(0, cut), bytes.slice(cut)])
        await (live as Gateway).webSocketMessage(ws, part.slice().buffer);
    });
    await g.until("second descriptor", () => g.descriptors.length === 2);
    g.raw(`\n  \n${hello}\n${hello}\n{"type":"hel`);
    await g.until("two more", () => g.descriptors.length === 4);
    // The object sleeps and is made anew over the same sockets; what was half a frame is still there.
    await runInDurableObject(objectOf(m.to), async (_live, state) => {
      const woken = new Gateway(state, edge);
      await woken.webSocketMessage(state.getWebSockets()[0]!, 'lo","platform":"slack"}\n');
    });
    await g.until("the rest", () => g.descriptors.length === 5);
    g.raw(idle.slice(0, 5));
    await g.until("nothing yet", () => !g.frames.some((f) => f["type"] === "going_idle_ack"));
  });

  it("a large half frame is kept in storage, and cleared", async () => {
    const m = await made();
    const g = gateway(m);
    await g.connect();
    const frame = JSON.stringify({ type: "hello", platform: "slack", botId: "", pad: "x".repeat(200_000) });
    g.raw(frame.slice(0, 150_000));
    await expect
      .poll(() =>
        runInDurableObject(objectOf(m.to), (_o, state) => [...state.storage.kv.list({ prefix: "rest:" })].length),
      )
      .toBe(1);
    g.raw(`${frame.slice(150_000)}\n`);
    await g.until("described", () => g.descriptors.length === 2);
    expect(
      await runInDurableObject(objectOf(m.to), (_o, state) => [...state.storage.kv.list({ prefix: "rest:" })].length),
    ).toBe(0);
  });

  it("malformed and unknown frames are left out and the socket stays; a frame over 1 MiB closes it with 1009", async () => {
    const m = await made();
    const g = gateway(m);
    await g.connect();
    for (const junk of ["{", "[]", "null", '{"type":"nope"}', '{"type":"inbound_ack"}', '{"type":"interrupt"}'])
      g.raw(`${junk}\n`);
    g.raw(new Uint8Array([0xff, 0xfe, 10]));
    await stub(m.to).offer(offerOf(m.to, "still here"));
    await g.until("handled", () => g.handled.length === 1);
    expect((await audits("gateway.odd_frame", m.id)).map((a) => a["what"])).toEqual(
      expect.arrayContaining(["malformed", "unknown type", "bad inbound_ack", "bad interrupt"]),
    );
    g.raw("x".repeat(1024 * 1024 + 1));
    await g.until("closed", () => g.closes.length === 1);
    expect(g.closes[0]).toMatchObject({ code: 1009 });
  });

  it("a flood of junk ends the socket with 1008 and writes one audit row", async () => {
    const m = await made();
    const g = gateway(m);
    await g.connect();
    g.raw("{\n".repeat(300));
    await g.until("closed", () => g.closes.length === 1);
    expect(g.closes[0]).toMatchObject({ code: 1008 });
    expect(await audits("gateway.odd_frame", m.id)).toHaveLength(1);
  });
});

describe("several sockets", () => {
  it("the newest that greeted gets inbound; the older one still asks and hears", async () => {
    const m = await made();
    const [a, b] = [gateway(m), gateway(m)];
    await a.connect();
    await b.connect();
    await stub(m.to).offer(offerOf(m.to, "one"));
    await b.until("handled", () => b.handled.length === 1);
    expect(a.handled).toEqual([]);
    expect(await a.outbound({ op: "nope", chat_id: "D1" })).toMatchObject({ success: false });
    expect(a.closes).toEqual([]);
    b.stop();
    await expect.poll(async () => (await stub(m.to).view()).sockets.length).toBe(1);
    await stub(m.to).offer(offerOf(m.to, "two"));
    await a.until("the older takes over", () => a.handled.length === 1);
  });

  it("the ninth of one gateway closes its oldest with 1000; another gateway's stay", async () => {
    const m = await made();
    const other = await made(["slack"], m.to.tenant, m.to.instance);
    const stranger = gateway(other);
    await stranger.connect();
    const all: ScriptedGateway[] = [];
    for (let i = 0; i < 9; i++) {
      const g = gateway(m);
      await g.connect();
      all.push(g);
    }
    await all[0]!.until("closed", () => all[0]!.closes.length === 1);
    expect(all[0]!.closes[0]!.code).toBe(1000);
    expect(all.slice(1).every((g) => g.open) && stranger.open).toBe(true);
    expect((await stub(m.to).view()).sockets).toHaveLength(9);
  });
});

describe("revocation", () => {
  const revoke = async (m: Made): Promise<void> => {
    const { status } = await api("POST", `/gateways/${m.id}/revoke`);
    expect(status).toBeLessThan(300);
  };

  it("closes every socket with 4401 and refuses later dials so; an old build ends at once, a new one after two strikes", async () => {
    const m = await made();
    const old = gateway(m, { build: "old", reconnect: true });
    const young = gateway(m, { build: "new", reconnect: true });
    await old.connect();
    await young.connect();
    await revoke(m);
    await old.until("terminal", () => old.terminal);
    await young.until("terminal", () => young.terminal);
    expect(old.closes.map((c) => c.code)).toEqual([4401]);
    expect(young.closes.map((c) => [c.code, c.reason])).toEqual([
      [4401, "unauthorized"],
      [4401, "unauthorized"],
    ]);
    expect([old.dials, young.dials]).toEqual([1, 2]);
  });

  it("is enforced by the object, whatever an edge still believes", async () => {
    const m = await made();
    const g = gateway(m);
    await g.connect();
    await stub(m.to).drop({ reason: "test", gateway_id: m.id });
    await g.until("closed", () => g.closes.length === 1);
    // D1 does not know: the edge lets it pass, the object does not.
    const again = gateway(m, { reconnect: false });
    again.connect().catch(() => {});
    await again.until("refused", () => again.closes.length === 1);
    expect(again.closes).toEqual([{ code: 4401, reason: "unauthorized" }]);
    const rotated = await api<{ secret: string }>("POST", `/gateways/${m.id}/rotate`);
    const anew = gateway({ ...m, secret: rotated.json.secret });
    await anew.connect();
    expect(anew.descriptors).toHaveLength(1);
  });

  it("dropping the instance purges what waits, and a new secret begins anew", async () => {
    const m = await made();
    const g = gateway(m);
    await g.connect();
    g.holdAcks = true;
    await stub(m.to).offer(offerOf(m.to, "gone"));
    await g.until("handled", () => g.handled.length === 1);
    await stub(m.to).drop({ reason: "deprovisioned" });
    await g.until("closed", () => g.closes.length === 1);
    expect(g.closes[0]).toEqual({ code: 4401, reason: "unauthorized" });
    expect(await stub(m.to).view()).toMatchObject({ state: "revoked", waiting: 0, why: "deprovisioned", sockets: [] });
    expect((await stub(m.to).deliveries({ limit: 10 })).items).toEqual([]);
    expect(await stub(m.to).knowsChat("slack", "D100")).toBe(false);
    expect(await stub(m.to).offer(offerOf(m.to, "late"))).toEqual({ outcome: "refused", why: "revoked" });
    const rotated = await api<{ secret: string }>("POST", `/gateways/${m.id}/rotate`);
    const anew = gateway({ ...m, secret: rotated.json.secret });
    await anew.connect();
    await stub(m.to).offer(offerOf(m.to, "again"));
    await anew.until("handled", () => anew.handled.length === 1);
    expect(await stub(m.to).view()).toMatchObject({ state: "on" });
  });
});

it("an evicted object closes its sockets; the gateway comes back and gets what it had not acked", async () => {
  const m = await made();
  const g = gateway(m, { reconnect: true, build: "old" });
  await g.connect();
  g.holdAcks = true;
  await stub(m.to).offer(offerOf(m.to, "one"));
  await stub(m.to).offer(offerOf(m.to, "two"));
  await g.until("handled", () => g.handled.length === 1);
  // As a deploy or a fault of the host ends it: memory and sockets are gone, storage stays.
  await runInDurableObject(objectOf(m.to), (_object, state) => state.abort("evicted")).catch(() => {});
  g.holdAcks = false;
  await g.until("again", () => g.handled.length === 3, 8_000);
  expect(g.handled.map((h) => h.text)).toEqual(["one", "one", "two"]);
  await expect.poll(async () => (await stub(m.to).view()).waiting).toBe(0);
  expect(await ring(m.to)).toBe(true);
});
