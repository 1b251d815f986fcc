import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { freshName, type HostAgent, type LegacyAgent, startHostAgent, startLegacyAgent } from "../support/agents";
import { envelope, keysOf, nowS, pyDumps, signText, tsDumps } from "../support/onion-keys";
import { eventually, type Frame, RawClient, type Relay, sleep, startRelay } from "./relay-kit";

/** The relay's rules, frame by frame: who may announce, who may hear, and what each wrong thing is answered with. */

let relay: Relay;
const agents: (HostAgent | LegacyAgent)[] = [];
const clients: RawClient[] = [];

beforeAll(async () => {
  relay = await startRelay();
}, 60_000);
afterEach(() => {
  for (const agent of agents.splice(0)) agent.stop();
  for (const c of clients.splice(0)) c.cut();
});
afterAll(() => relay?.close());

async function host(name = freshName("host")): Promise<HostAgent> {
  const agent = await startHostAgent({ relay: relay.ws, name });
  agents.push(agent);
  return agent;
}

async function open(name = freshName("client"), path = "/ws/input"): Promise<RawClient> {
  const c = await RawClient.open(`${relay.ws}${path}`, name);
  clients.push(c);
  return c;
}

async function connected(agent: { address: string }, name = freshName("client"), more: Frame = {}): Promise<RawClient> {
  const c = await open(name);
  c.send(c.connectFrame(agent.address, more));
  await c.type("CONNECTED");
  return c;
}

const get = async (path: string): Promise<{ status: number; headers: Headers; body: Frame }> => {
  const response = await relay.runtime.fetch(path);
  return { status: response.status, headers: response.headers, body: (await response.json()) as Frame };
};

/** A first frame that must be refused: the error, the close code, within a second. */
async function refused(frame: (c: RawClient) => Frame | string | Uint8Array): Promise<[string, number]> {
  const c = await open();
  const started = performance.now();
  c.send(frame(c));
  const error = await c.type("ERROR", 1_000);
  const { code } = await c.close(1_000);
  expect(performance.now() - started).toBeLessThan(1_000);
  return [String(error["error"]), code];
}

describe("a first frame", () => {
  it("that is wrong is told so and closed within a second, and reaches no agent", async () => {
    const agent = await host();
    const to = agent.address;
    const mallory = keysOf("mallory");
    const nested = `{"type":"CONNECT","to":"${to}","x":${"[".repeat(70)}${"]".repeat(70)}}`;
    const tampered = (c: RawClient): Frame => {
      const frame = c.connectFrame(to);
      return { ...frame, payload: { ...(frame["payload"] as Frame), extra: 1 } };
    };
    const at = (c: RawClient, timestamp: unknown): Frame => ({
      type: "CONNECT",
      to,
      ...envelope(c.keys, { to, timestamp }),
    });
    const cases: [string, (c: RawClient) => Frame | string | Uint8Array, string | RegExp, number][] = [
      ["no JSON", () => "{no", "Invalid JSON", 4400],
      ["an array", () => "[]", "Invalid JSON: a frame is one object", 4400],
      ["a key twice", () => `{"type":"CONNECT","to":"${to}","to":"${to}"}`, /^Invalid JSON: the same key twice/, 4400],
      ["deep nesting", () => nested, /^frame too deep/, 4400],
      ["binary", () => new Uint8Array([1, 2, 3]), "text frames only", 1003],
      [
        "2 MiB",
        (c) => ({ ...c.connectFrame(to), pad: "x".repeat(2 * 1_048_576) }),
        /^frame too large: at most 1048576/,
        1009,
      ],
      ["no agent", () => ({ type: "SESSION_STATUS" }), /^no agent selected/, 4400],
      ["no address", () => ({ type: "SESSION_STATUS", to: "bob" }), /^no agent selected/, 4400],
      ["unsigned CONNECT", () => ({ type: "CONNECT", to }), "unauthorized: signed request required", 4401],
      ["no from", (c) => ({ ...c.connectFrame(to), from: undefined }), "unauthorized: 'from' field required", 4401],
      ["tampered", tampered, "unauthorized: invalid signature", 4401],
      [
        "another's name",
        (c) => ({ ...c.connectFrame(to), from: mallory.address }),
        "unauthorized: invalid signature",
        4401,
      ],
      ["stale", (c) => at(c, nowS() - 400), "unauthorized: signature expired", 4401],
      ["early", (c) => at(c, nowS() + 400), "unauthorized: signature expired", 4401],
      ["no time", (c) => at(c, undefined), "unauthorized: timestamp required in payload", 4401],
      ["foreign to", (c) => ({ ...c.connectFrame(mallory.address), to }), "unauthorized: wrong recipient", 4401],
      ["unsigned INPUT", () => ({ type: "INPUT", to, prompt: "hi" }), "authenticate first (send CONNECT)", 4401],
      ["approval", () => ({ type: "APPROVAL_RESPONSE", to, approved: true }), /^authenticate first/, 4401],
    ];
    for (const [what, frame, error, close] of cases) {
      const [said, code] = await refused(frame);
      expect([what, code]).toEqual([what, close]);
      if (typeof error === "string") expect([what, said]).toEqual([what, error]);
      else expect(said).toMatch(error);
    }
    expect(agent.received.filter((f) => f["type"] !== "ANNOUNCE_OK")).toEqual([]);
    expect(relay.logs.filter((l) => l.level === "error")).toEqual([]);
  });

  it("may be in any case of the address, with and without 0x", async () => {
    const agent = await host();
    const c = await open();
    const upper = agent.address.slice(2).toUpperCase();
    const signed = envelope(c.keys, { to: agent.address, timestamp: nowS() });
    c.send({
      type: "CONNECT",
      to: upper,
      ...signed,
      from: signed.from.toUpperCase().replace("0X", ""),
      signature: `0x${signed.signature}`,
    });
    // The agent of this test compares addresses letter by letter, so it is the relay's answer that counts: it was let through.
    await eventually(async () => agent.received.some((f) => f["type"] === "CONNECT"));
  });

  it("is used once: a captured CONNECT opens no second line", async () => {
    const agent = await host();
    const c = await open();
    const frame = c.connectFrame(agent.address, {}, { signed_commands: 1 });
    c.send(frame);
    await c.type("CONNECTED");
    expect(await refused(() => frame)).toEqual(["unauthorized: this CONNECT was already used", 4401]);
    expect(c.closed).toBeNull();
  });

  it("of a TypeScript client may be the same bytes twice within a second", async () => {
    const agent = await host();
    const c = await open();
    const payload = { timestamp: nowS(), to: agent.address };
    const frame = {
      type: "CONNECT",
      payload,
      from: c.keys.address,
      signature: signText(c.keys, tsDumps(payload)),
      timestamp: payload.timestamp,
      to: agent.address,
    };
    c.send(frame);
    await c.type("CONNECTED");
    const tab = await open();
    tab.send(frame);
    await tab.type("CONNECTED");
    await sleep(2_100);
    expect(await refused(() => frame)).toEqual(["unauthorized: this CONNECT was already used", 4401]);
  });
});

describe("a session", () => {
  it("goes to the newest socket of its signer; the older one is closed with 4410", async () => {
    const agent = await host();
    const name = freshName("client");
    const first = await connected(agent, name);
    const id = String(first.frames[0]!["session_id"]);
    first.send({ type: "INPUT", input_id: "1", prompt: "slow 800 for the newest" });
    await first.type("thinking");
    const second = await open(name);
    second.send(second.connectFrame(agent.address, { session_id: id, n: 2 }, { n: 2 }));
    expect(await second.type("CONNECTED")).toMatchObject({ session_id: id, status: "running" });
    expect((await first.close()).code).toBe(4410);
    expect(await second.type("OUTPUT")).toMatchObject({ result: "for the newest", session_id: id });
    expect(first.frames.filter((f) => f["type"] === "OUTPUT")).toEqual([]);
  });

  it("of somebody else is neither taken nor shown, also when its owner has left", async () => {
    const agent = await host();
    const alice = await connected(agent);
    const id = String(alice.frames[0]!["session_id"]);
    alice.send({ type: "INPUT", input_id: "1", prompt: "slow 700 secret" });
    await alice.type("thinking");
    const bob = await connected(agent, freshName("bob"), { session_id: id, session: { session_id: id } });
    expect(bob.frames[0]!["session_id"]).not.toBe(id);
    expect(bob.frames[0]).toMatchObject({ status: "new" });
    alice.cut();
    await sleep(100);
    const carol = await connected(agent, freshName("carol"), { session_id: id });
    expect(carol.frames[0]!["session_id"]).not.toBe(id);
    await eventually(async () => !agent.host.sessions.get(id)!.running);
    // The agent answers under the old id although nobody is there: it reaches nobody, and is kept.
    agent.raw(JSON.stringify({ type: "OUTPUT", session_id: id, result: "secret" }));
    await eventually(async () => (await get(`/sessions/${id}`)).body["status"] === "done");
    for (const other of [bob, carol]) expect(JSON.stringify(other.frames)).not.toContain("secret");
    expect(alice.frames.some((f) => f["type"] === "OUTPUT")).toBe(false);
  });

  it("asked for unsigned takes nothing from its owner", async () => {
    const agent = await host();
    const alice = await connected(agent);
    const id = String(alice.frames[0]!["session_id"]);
    const asker = await open();
    asker.send({ type: "SESSION_STATUS", to: agent.address, session: { session_id: id } });
    expect(await asker.type("SESSION_STATUS")).toMatchObject({ status: "not_found" });
    alice.send({ type: "INPUT", input_id: "1", prompt: "echo mine" });
    expect(await alice.type("OUTPUT")).toMatchObject({ result: "mine" });
  });

  it("keeps numbers and key order of a signed payload to the byte", async () => {
    const agent = await host();
    const texts: string[] = [];
    const raw = agent.handle.bind(agent);
    agent.handle = (frame) => {
      texts.push(JSON.stringify(frame));
      raw(frame);
    };
    const c = await open();
    const payload = `{"z":{"b":1,"a":10.0},"to":"${agent.address}","timestamp":${nowS()}.0,"n":1e-7}`;
    const canonical = `{"n":1e-7,"timestamp":${/"timestamp":([^,]+)/.exec(payload)![1]},"to":"${agent.address}","z":{"a":10.0,"b":1}}`;
    const wire = `{ "type":"CONNECT", "payload":${payload},"from":"${c.keys.address}","signature":"${signText(c.keys, canonical)}","to":"${agent.address}"}`;
    c.send(wire);
    const forwarded = await eventually(async () => agent.texts.find((t) => t.includes('"CONNECT"')));
    expect(forwarded).toContain(`"payload":${payload},`);
    expect(JSON.parse(forwarded)).toMatchObject({ session_id: expect.any(String) });
  });

  it("ends for its client when the agent goes, and the record says interrupted", async () => {
    const agent = await host();
    const c = await connected(agent);
    c.send({ type: "INPUT", input_id: "1", prompt: "slow 60000 never" });
    await c.type("thinking");
    agent.crash();
    expect(await c.type("ERROR")).toMatchObject({ error: "agent disconnected", message: "agent disconnected" });
    expect((await c.close()).code).toBe(1012);
    const { body } = await get(`/sessions/${String(c.frames[0]!["session_id"])}`);
    expect(Object.keys(body).sort()).toEqual([
      "created",
      "duration_ms",
      "expires",
      "input_id",
      "prompt",
      "result",
      "session_id",
      "status",
    ]);
    expect(body).toMatchObject({ status: "interrupted", result: null, prompt: null });
    expect(Number(body["expires"])).toBeGreaterThan(Date.now() / 1000 + 86_000);
  });

  it("is told when the agent refuses its CONNECT, and is closed", async () => {
    const agent = await host();
    const c = await open();
    agent.handle = (frame) => {
      if (frame["type"] === "CONNECT")
        agent.raw(JSON.stringify({ type: "ERROR", message: "forbidden: not you", session_id: frame["session_id"] }));
    };
    c.send(c.connectFrame(agent.address));
    expect(await c.type("ERROR")).toMatchObject({ message: "forbidden: not you" });
    expect((await c.close()).code).toBe(4403);
  });

  it("survives wrong frames in between: they are told, and the line stays", async () => {
    const agent = await host();
    const c = await connected(agent);
    c.send("{no");
    await c.frame((f) => f["error"] === "Invalid JSON");
    c.send(new Uint8Array(8));
    await c.frame((f) => f["error"] === "text frames only");
    c.send({ type: "INPUT", prompt: "x".repeat(1_100_000) });
    await c.frame((f) => String(f["error"]).startsWith("frame too large"));
    c.send({ type: "INPUT", input_id: "1", prompt: "echo still" });
    expect(await c.type("OUTPUT")).toMatchObject({ result: "still" });
  });

  it("whose agent answers too much is told so", async () => {
    const agent = await host();
    const c = await connected(agent);
    c.send({ type: "INPUT", input_id: "1", prompt: "big 1100000" });
    expect(String((await c.type("ERROR"))["error"])).toMatch(
      /^the agent sent a frame too large: \d+ characters, at most 1048576/,
    );
    const id = String(c.frames[0]!["session_id"]);
    expect((await get(`/sessions/${id}`)).body).toMatchObject({ status: "failed" });
    c.send({ type: "INPUT", input_id: "2", prompt: "big 900000" });
    expect(String((await c.type("OUTPUT"))["result"])).toHaveLength(900_000);
  });

  it("that floods is closed, and others do not notice", async () => {
    const agent = await host();
    const other = await connected(agent);
    const flooder = await open();
    flooder.send(flooder.connectFrame(agent.address));
    for (let i = 0; i < 5_000; i++) flooder.send(`{"type":"noise","n":${i}}`);
    const started = Date.now();
    other.send({ type: "INPUT", input_id: "1", prompt: "echo calm" });
    expect(await other.type("OUTPUT")).toMatchObject({ result: "calm" });
    expect(Date.now() - started).toBeLessThan(2_000);
    expect(await flooder.type("ERROR")).toMatchObject({ error: "rate limited: too many frames" });
    expect((await flooder.close()).code).toBe(4429);
  });
});

describe("an agent", () => {
  it("is looked up on both paths, by anybody, as it announced itself", async () => {
    const agent = await host();
    const paths = [
      `/api/relay/agents/${agent.address}`,
      `/api/agents/${agent.address.toUpperCase().replace("0X", "0x")}`,
    ];
    for (const path of paths) {
      const { status, headers, body } = await eventually(async () => {
        const got = await get(path);
        return got.status === 200 && got;
      });
      expect(status).toBe(200);
      expect(headers.get("access-control-allow-origin")).toBe("*");
      expect(body).toMatchObject({
        address: agent.address,
        endpoints: [],
        online: true,
        relay: expect.stringMatching(/^wss?:/),
        summary: `${agent.options.name} héllo "quoted" 🧅`,
        profile: { alias: agent.options.name, tools: ["echo"] },
      });
      expect(Date.parse(String(body["last_seen"]))).toBeGreaterThan(Date.now() - 60_000);
    }
    agent.stop();
    await eventually(async () => (await get(paths[0]!)).body["online"] === false);
    expect((await get(paths[1]!)).body).toMatchObject({ online: false, relay: null });
    expect(await get(`/api/agents/${keysOf(freshName("x")).address}`)).toMatchObject({ status: 404 });
    expect(await get("/api/relay/agents/bob")).toMatchObject({ status: 404 });
    const preflight = await relay.runtime.fetch(paths[0]!, { method: "OPTIONS" });
    expect([preflight.status, preflight.headers.get("access-control-allow-origin")]).toEqual([204, "*"]);
  });

  it("that announces itself again elsewhere takes over: the older line is closed with 4409", async () => {
    const name = freshName("host");
    const first = await host(name);
    const c = await connected(first);
    await sleep(1_100);
    const second = await host(name);
    await eventually(async () => first.closes.includes(4409));
    expect(await c.type("ERROR")).toMatchObject({ error: "agent disconnected" });
    expect((await c.close()).code).toBe(1012);
    const again = await connected(second);
    again.send({ type: "INPUT", input_id: "1", prompt: "echo new" });
    expect(await again.type("OUTPUT")).toMatchObject({ result: "new" });
    expect((await get(`/api/agents/${first.address}`)).body["online"]).toBe(true);
  });

  it("can't be impersonated: wrong, stale, repeated and older announcements change nothing", async () => {
    const agent = await host();
    const eve = await open(freshName("eve"), "/ws/announce");
    const said = async (frame: Frame | string): Promise<string> => {
      const before = eve.frames.length;
      eve.send(frame);
      const answer = await eve.until(() => eve.frames[before], 1_000, "answer");
      return String(answer["error"] ?? answer["type"]);
    };
    const signed = (content: Frame, keys = agent.keys): Frame => ({
      ...content,
      signature: signText(keys, pyDumps(content, true)),
    });
    const content = agent.announcement();
    expect(await said({ type: "OUTPUT", session_id: "x", result: "?" })).toBe("send ANNOUNCE first");
    expect(await said(content)).toBe("unauthorized: signature required");
    expect(await said(signed(content, keysOf("eve")))).toBe("unauthorized: invalid signature");
    expect(await said({ ...signed(content), summary: "changed" })).toBe("unauthorized: invalid signature");
    expect(await said(signed({ ...content, timestamp: nowS() - 400 }))).toBe("unauthorized: signature expired");
    expect(await said(signed({ ...content, timestamp: nowS() - 100 }))).toMatch(/^ANNOUNCE is older than the last one/);
    // What the agent itself has sent, seen on another relay.
    expect(await said(signed(content))).toBe("unauthorized: this ANNOUNCE was already used");
    expect(await said("{no")).toBe("send ANNOUNCE first");
    expect(eve.closed).toBeNull();
    const c = await connected(agent);
    c.send({ type: "INPUT", input_id: "1", prompt: "echo true" });
    expect(await c.type("OUTPUT")).toMatchObject({ result: "true" });
    expect(agent.closes).toEqual([]);
  });

  it("never hears a frame that could crash it: each carries a session id", async () => {
    const agent = await host();
    const c = await connected(agent);
    for (const type of ["PONG", "mode_change", "APPROVAL_RESPONSE", "INTERRUPT", "ULW_RESPONSE", "anything"])
      c.send({ type, mode: "safe", approved: false });
    c.send({ type: "INPUT", input_id: "1", prompt: "echo alive" });
    await c.type("OUTPUT");
    c.leave();
    await eventually(async () => agent.received.some((f) => f["type"] === "close"));
    expect(agent.crashes).toEqual([]);
    expect(
      agent.received.filter((f) => f["type"] !== "ANNOUNCE_OK").every((f) => typeof f["session_id"] === "string"),
    ).toBe(true);
  });

  it("gets the PONG of its own PING, and no other", async () => {
    const agent = await host();
    const c = await connected(agent);
    const id = c.frames[0]!["session_id"];
    c.send({ type: "PONG" });
    agent.raw(JSON.stringify({ type: "PING", session_id: id }));
    await c.type("PING");
    c.send({ type: "PONG" });
    c.send({ type: "PONG" });
    c.send({ type: "INPUT", input_id: "1", prompt: "echo end" });
    await c.type("OUTPUT");
    expect(agent.received.filter((f) => f["type"] === "PONG")).toEqual([{ session_id: id, type: "PONG" }]);
  });

  it("of 0.6.5 keeps its line with the heartbeat nobody can verify, and its record is not touched by it", async () => {
    const agent = await startLegacyAgent({ relay: relay.ws, name: freshName("legacy"), heartbeatMs: 200 });
    agents.push(agent);
    const before = await eventually(async () => {
      const got = await get(`/api/agents/${agent.address}`);
      return got.status === 200 && got.body;
    });
    await sleep(700);
    expect(agent.received.map((f) => f["type"])).toEqual(["ANNOUNCE_OK"]);
    expect((await get(`/api/agents/${agent.address}`)).body).toEqual(before);
    expect(agent.closes).toEqual([]);
  });

  it("of 0.6.5 hears only its own kind of INPUT, from proven clients, and inputs that wait give one OUTPUT", async () => {
    const agent = await startLegacyAgent({ relay: relay.ws, name: freshName("legacy") });
    agents.push(agent);
    const c = await connected(agent);
    c.send({ type: "mode_change", mode: "plan" });
    c.send({ type: "INPUT", input_id: "a", prompt: "slow 200 first" });
    c.send({ type: "INPUT", input_id: "b", prompt: "second" });
    expect(await c.type("RUNTIME_INPUT_ACK")).toMatchObject({ session_id: c.frames[0]!["session_id"] });
    expect(await c.type("OUTPUT")).toMatchObject({ result: "first\n\nlegacy: second", input_id: "b" });
    await sleep(100);
    expect(c.frames.filter((f) => f["type"] === "OUTPUT")).toHaveLength(1);
    expect(agent.received.map((f) => f["type"])).toEqual(["ANNOUNCE_OK", "INPUT", "INPUT"]);
    c.send({ type: "SESSION_STATUS", session: { session_id: c.frames[0]!["session_id"] } });
    expect(await c.type("SESSION_STATUS")).toMatchObject({ status: "connected" });
    const forged = envelope(keysOf("mallory"), { prompt: "evil", timestamp: nowS(), to: agent.address });
    c.send({ type: "INPUT", input_id: "c", prompt: "fine", ...forged });
    expect(await c.type("ERROR")).toMatchObject({ error: "unauthorized: command signer does not own this connection" });
    expect((await c.close()).code).toBe(4401);
    expect(agent.received.filter((f) => f["type"] === "INPUT")).toHaveLength(2);
  });
});

it("answers a plain GET on the socket paths", async () => {
  for (const path of ["/ws/input", "/ws/announce"]) expect((await relay.runtime.fetch(path)).status).toBe(426);
});
