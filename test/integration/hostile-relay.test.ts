import { listDurableObjectIds, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { describe, expect, it } from "vitest";
import type { ClientLine } from "../../durable-objects/client-line.do";
import { expireAgents } from "../../src/relay";
import { keysOf, signAnnounce, signConnect } from "./onion-kit";
import { Line, pair, until } from "./relay-kit";
import { type Signer, signedGet } from "./session-kit";

/** What a hostile client or agent must not get from the relay: lines and rows for nothing, frames that kill, a record nobody owns. */

const DAY = 86_400_000;

const announced = async (name: string): Promise<{ agent: Line; keys: Signer }> => {
  const keys = await keysOf(name);
  const agent = await Line.open("/ws/announce");
  agent.ws.send(await signAnnounce(keys));
  await agent.type("ANNOUNCE_OK");
  return { agent, keys };
};

/** The object of the one line bound to an agent. */
async function lineAt(agent: string): Promise<DurableObjectStub<ClientLine>> {
  for (const id of await listDurableObjectIds(env.CLIENT_LINE)) {
    const stub = env.CLIENT_LINE.get(id) as unknown as DurableObjectStub<ClientLine>;
    const here = await runInDurableObject(stub, (_o, state) =>
      state
        .getWebSockets()
        .some((ws) => (ws.deserializeAttachment() as { bound?: { agent: string } | null })?.bound?.agent === agent),
    );
    if (here) return stub;
  }
  throw new Error("No line is bound to it.");
}

describe("a client that proves nothing", () => {
  const ask = (to: string) => ({ type: "SESSION_STATUS", to, session: { session_id: crypto.randomUUID() } });

  it("may ask for a status, gives the agent no other frame, and has a minute", async () => {
    const { agent, keys } = await announced("unproven-agent");
    const client = await Line.open("/ws/input");
    client.send(ask(keys.address));
    await agent.type("SESSION_STATUS");
    client.send({ type: "INPUT", prompt: "do it", input_id: "1" });
    client.send({ type: "APPROVAL_RESPONSE", approved: true });
    expect(await client.type("ERROR")).toMatchObject({ error: "authenticate first (send CONNECT)" });
    await scheduler.wait(100);
    expect(agent.frames.map((f) => f["type"])).toEqual(["ANNOUNCE_OK", "SESSION_STATUS"]);
    const stub = await lineAt(keys.address);
    await runInDurableObject(stub, (_o, state) => {
      const [ws] = state.getWebSockets();
      ws!.serializeAttachment({ ...(ws!.deserializeAttachment() as object), opened: Date.now() - 61_000 });
    });
    expect(await runDurableObjectAlarm(stub)).toBe(true);
    await until(() => client.closed === 4408, 2_000, "4408");
    agent.ws.close();
  });

  it("and then connects owns what it runs", async () => {
    const { agent, keys } = await announced("later-agent");
    const me = await keysOf("later-client");
    const client = await Line.open("/ws/input");
    client.send(ask(keys.address));
    await agent.type("SESSION_STATUS");
    client.ws.send(await signConnect(me, keys.address));
    const rid = String((await agent.type("CONNECT"))["session_id"]);
    agent.send({ type: "CONNECTED", session_id: rid, status: "new" });
    await client.type("CONNECTED");
    client.send({ type: "INPUT", prompt: "hello", input_id: "1" });
    await agent.type("INPUT");
    agent.send({ type: "OUTPUT", session_id: rid, result: "mine" });
    await client.type("OUTPUT");
    expect(await (await signedGet(me, `/sessions/${rid}`)).json()).toMatchObject({ status: "done", result: "mine" });
    expect((await signedGet(await keysOf("later-other"), `/sessions/${rid}`)).status).toBe(404);
    // And it comes back to it.
    const again = await Line.open("/ws/input");
    again.ws.send(await signConnect(me, keys.address, { session_id: rid }));
    await until(() => agent.frames.filter((f) => f["type"] === "CONNECT")[1], 4_000, "second CONNECT");
    expect(agent.frames.filter((f) => f["type"] === "CONNECT")[1]).toMatchObject({ session_id: rid });
    for (const l of [again, agent]) l.ws.close();
  });

  it("leaves nothing at an address nobody has announced", async () => {
    const nobody = await keysOf("nobody-there");
    const client = await Line.open("/ws/input");
    client.ws.send(await signConnect(await keysOf("asks-in-vain"), nobody.address));
    expect(await client.type("ERROR")).toMatchObject({ error: "agent offline" });
    const left = await runInDurableObject(env.AGENT.get(env.AGENT.idFromName(nobody.address)), (_o, state) =>
      state.storage.sql.exec("SELECT name FROM sqlite_master WHERE name NOT LIKE '\\_cf%' ESCAPE '\\'").toArray(),
    );
    expect(left).toEqual([]);
  });
});

describe("an agent", () => {
  it("that announces nothing may not talk for long, nor much at once", async () => {
    const talker = await Line.open("/ws/announce");
    for (let i = 0; i < 100; i++) talker.send({ type: "OUTPUT", session_id: "x", result: i });
    expect(await talker.type("ERROR")).toMatchObject({ error: "send ANNOUNCE first" });
    await until(() => talker.closed === 4429, 2_000, "4429");
    const huge = await Line.open("/ws/announce");
    huge.ws.send(`{"type":"ANNOUNCE","x":[${"[],".repeat(1_000_000)}0]}`);
    expect((await huge.type("ERROR"))["error"]).toMatch(/^frame too large/);
    await until(() => huge.closed === 1009, 2_000, "1009");
  });

  it("that says too much at once is told so, its client too, and both stay", async () => {
    const p = await pair("large");
    p.client.send({ type: "INPUT", prompt: "hello", input_id: "1" });
    await p.agent.type("INPUT");
    p.agent.ws.send(`{"type":"OUTPUT","session_id":"${p.rid}","result":[${"[],".repeat(1_000_000)}0]}`);
    expect(await p.agent.type("ERROR")).toMatchObject({ session_id: p.rid });
    expect((await p.client.type("ERROR"))["error"]).toMatch(/^the agent sent a frame too large/);
    p.client.send({ type: "INPUT", prompt: "again", input_id: "2" });
    await until(() => p.agent.frames.filter((f) => f["type"] === "INPUT")[1], 2_000, "second INPUT");
    for (const l of [p.agent, p.client]) l.ws.close();
  });

  it("that announces itself in a loop is told to wait, and writes no rows meanwhile", async () => {
    const { agent, keys } = await announced("loop-agent");
    for (let i = 0; i < 60; i++)
      agent.ws.send(await signAnnounce({ ...(await keysOf("loop-agent")), name: `loop ${i}` }));
    expect((await agent.type("ERROR"))["error"]).toMatch(/^rate limited/);
    await scheduler.wait(200);
    expect(agent.frames.filter((f) => f["type"] === "ANNOUNCE_OK").length).toBeLessThan(30);
    const row = await env.DB.prepare("SELECT online FROM agent WHERE address = ?").bind(keys.address).first();
    expect([row, agent.closed]).toEqual([{ online: 1 }, null]);
    agent.ws.close();
  });

  it("announced twice at the same moment has one live line, and clients reach that one", async () => {
    const keys = await keysOf("twin-agent");
    const twins = await Promise.all([0, 1, 2, 3].map(() => Line.open("/ws/announce")));
    const frames = await Promise.all(twins.map((_, i) => signAnnounce({ ...keys, name: `twin ${i}` })));
    for (const [i, line] of twins.entries()) line.ws.send(frames[i]!);
    await until(() => twins.filter((t) => t.closed === 4409).length === 3, 4_000, "three closed");
    const live = twins.find((t) => t.closed === null)!;
    const client = await Line.open("/ws/input");
    client.ws.send(await signConnect(await keysOf("twin-client"), keys.address));
    await live.type("CONNECT");
    await scheduler.wait(100);
    const row = await env.DB.prepare("SELECT online FROM agent WHERE address = ?").bind(keys.address).first();
    expect(row).toEqual({ online: 1 });
    for (const l of [live, client]) l.ws.close();
  });

  it("nobody has seen for a month is forgotten", async () => {
    const { agent, keys } = await announced("old-agent");
    const young = await announced("young-agent");
    await env.DB.prepare("UPDATE agent SET last_seen = ? WHERE address = ?")
      .bind(Date.now() - 31 * DAY, keys.address)
      .run();
    await expireAgents(env.DB, Date.now());
    const left = (address: string) => env.DB.prepare("SELECT 1 FROM agent WHERE address = ?").bind(address).first();
    expect([await left(keys.address), await left(young.keys.address)]).toEqual([null, { 1: 1 }]);
    for (const l of [agent, young.agent]) l.ws.close();
  });
});
