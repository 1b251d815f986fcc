import { exports } from "cloudflare:workers";
import { beforeAll, describe, expect, it } from "vitest";
import { type Agent, api, call, events, mcp, newAgent, newWorkspace, OPERATOR, ok } from "./messaging-kit";

/** `/mcp` as HTTP and JSON-RPC (wake-slo §3, §3.1), and the operator's tools on it. */

let agent: Agent;
beforeAll(async () => {
  agent = await newAgent(newWorkspace(), "north");
});

const ping = { jsonrpc: "2.0", id: 1, method: "ping" };

describe("the door", () => {
  it("wants POST", async () => {
    for (const method of ["GET", "DELETE", "PUT", "OPTIONS"]) {
      const response = await exports.default.fetch("http://reveille.test/mcp", {
        method,
        headers: { authorization: `Bearer ${agent.key}`, accept: "text/event-stream" },
      });
      expect([response.status, response.headers.get("allow")], method).toEqual([405, "POST"]);
    }
  });

  it.each<[string, string | null]>([
    ["no key", null],
    ["an unknown key", `q_${"A".repeat(43)}`],
    ["a word", "hello"],
  ])("answers 401 to %s, before it reads the body", async (_, key) => {
    let read = 0;
    const body = new ReadableStream<Uint8Array>(
      {
        pull(controller) {
          read++;
          controller.enqueue(new Uint8Array(1024));
        },
      },
      { highWaterMark: 0 },
    );
    const headers = { "content-type": "application/json", ...(key ? { authorization: `Bearer ${key}` } : {}) };
    const response = await exports.default.fetch("http://reveille.test/mcp", { method: "POST", headers, body });
    expect(response.status).toBe(401);
    expect(response.headers.get("www-authenticate")).toMatch(/^Bearer/);
    expect(await response.json()).toEqual({ error: "unauthorized" });
    expect(read).toBeLessThan(3);
  });

  it.each<[string, Record<string, string | null>, number]>([
    ["no Accept", { accept: "*/*" }, 406],
    ["JSON alone", { accept: "application/json" }, 406],
    ["a stream alone", { accept: "text/event-stream" }, 406],
    ["another content type", { "content-type": "text/plain" }, 415],
    ["an unknown protocol version", { "mcp-protocol-version": "2020-01-01" }, 400],
    ["a known protocol version", { "mcp-protocol-version": "2025-06-18" }, 200],
    ["parameters of the content type", { "content-type": "application/json; charset=utf-8" }, 200],
    ["a session id, which it does not keep", { "mcp-session-id": "abc" }, 200],
  ])("with %s", async (_, headers, status) => {
    const answer = await mcp(agent.key, ping, headers);
    expect(answer.status).toBe(status);
    if (status !== 200)
      expect(JSON.parse(answer.text)).toMatchObject({ jsonrpc: "2.0", id: null, error: { code: -32000 } });
  });

  it.each<[string, string, number, number | null]>([
    ["no JSON", "{", 400, -32700],
    ["an empty body", "", 400, -32700],
    ["a number", "7", 400, -32600],
    ["an empty array", "[]", 400, -32600],
    ["another version", '{"jsonrpc":"1.0","id":1,"method":"ping"}', 400, -32600],
    ["an id that is none", '{"jsonrpc":"2.0","id":{},"method":"ping"}', 400, -32600],
    ["a notification", '{"jsonrpc":"2.0","method":"notifications/initialized"}', 202, null],
    ["an answer", '{"jsonrpc":"2.0","id":1,"result":{}}', 202, null],
  ])("reads %s", async (_, body, status, code) => {
    const answer = await mcp(agent.key, body);
    expect(answer.status).toBe(status);
    if (code === null) expect(answer.text).toBe("");
    else expect(JSON.parse(answer.text)).toMatchObject({ jsonrpc: "2.0", id: null, error: { code } });
  });

  it("takes 1 MiB and not more, told or not", async () => {
    const big = JSON.stringify({ ...ping, params: { _meta: "x".repeat(1_048_576) } });
    for (const headers of [{}, { "content-length": "7" }] as Record<string, string>[]) {
      const answer = await mcp(agent.key, big, headers);
      expect([answer.status, JSON.parse(answer.text)]).toEqual([413, { error: "payload_too_large" }]);
    }
    const most = JSON.stringify({ ...ping, params: { _meta: "" } });
    const fits = JSON.stringify({ ...ping, params: { _meta: "x".repeat(1_048_576 - most.length) } });
    expect((await mcp(agent.key, fits)).status).toBe(200);
  });
});

describe("requests", () => {
  it("are answered as one event, cold, with their own id", async () => {
    const answer = await mcp(agent.key, { ...ping, id: "a\n\ndata: b" });
    expect(answer.headers.get("content-type")).toBe("text/event-stream");
    expect(events(answer.text)).toEqual([{ jsonrpc: "2.0", id: "a\n\ndata: b", result: {} }]);
  });

  it("of an array are answered one by one, without its notifications", async () => {
    const answer = await mcp(agent.key, [
      { jsonrpc: "2.0", id: 1, method: "ping" },
      { jsonrpc: "2.0", method: "notifications/cancelled", params: {} },
      { jsonrpc: "2.0", id: 2, method: "no/such" },
      { jsonrpc: "2.0", id: 3, method: "tools/call", params: { name: 7 } },
    ]);
    expect(events(answer.text)).toEqual([
      { jsonrpc: "2.0", id: 1, result: {} },
      { jsonrpc: "2.0", id: 2, error: { code: -32601, message: "Method not found" } },
      { jsonrpc: "2.0", id: 3, error: { code: -32602, message: expect.any(String) } },
    ]);
  });

  it("initialize takes the client's version, or offers its own newest", async () => {
    const versionFor = async (protocolVersion: string): Promise<unknown> => {
      const params = { protocolVersion, capabilities: {}, clientInfo: { name: "t", version: "1" } };
      const [message] = events((await mcp(agent.key, { jsonrpc: "2.0", id: 1, method: "initialize", params })).text);
      return (message!["result"] as Record<string, unknown>)["protocolVersion"];
    };
    expect(await versionFor("2025-03-26")).toBe("2025-03-26");
    expect(await versionFor("1999-01-01")).toBe("2025-11-25");
  });

  it("list the seven tools, each with a schema that says what it needs", async () => {
    const [message] = events((await mcp(agent.key, { jsonrpc: "2.0", id: 1, method: "tools/list" })).text);
    const { tools } = message!["result"] as { tools: { name: string; inputSchema: Record<string, unknown> }[] };
    const needs = Object.fromEntries(tools.map((t) => [t.name, t.inputSchema["required"] ?? []]));
    expect(needs).toEqual({
      agent_send: ["to_agent", "body"],
      agent_reply: ["session_id", "body"],
      agent_inbox: [],
      agent_session_create: ["topic"],
      agent_session_close: ["session_id"],
      agent_status: [],
      agent_ack: ["message_id"],
    });
    expect(tools.every((t) => t.inputSchema["type"] === "object")).toBe(true);
  });

  it("for an unknown tool are results with isError", async () => {
    expect((await call(agent.key, "no_such")).error).toBe("MCP error -32602: Tool no_such not found");
  });
});

describe("the operator's key", () => {
  it("sees what Reveille watches, and cannot write", async () => {
    const name = `mcp-${crypto.randomUUID().slice(0, 8)}`;
    const target = { id: name, name, kind: "heartbeat", config: { period: "1d", grace: "1h" } };
    expect((await api("POST", "/targets", target)).status).toBe(201);
    const found = await ok(OPERATOR, "targets", { limit: 200 });
    expect((found["items"] as { id: string }[]).map((t) => t.id)).toContain(name);
    expect(await ok(OPERATOR, "incidents", { state: "open" })).toMatchObject({ items: expect.any(Array) });
    expect(await ok(OPERATOR, "budget")).toMatchObject({ pool_usd: expect.any(Number) });
    expect((await call(OPERATOR, "timeline", { incident_id: "none/../.." })).error).toMatch(/^NOT_FOUND: /);
    expect((await call(OPERATOR, "agent_send", { to_agent: "north", body: "x" })).error).toMatch(/not found$/);
    expect((await call(agent.key, "targets")).error).toMatch(/not found$/);
    await api("DELETE", `/targets/${name}`);
  });
});
