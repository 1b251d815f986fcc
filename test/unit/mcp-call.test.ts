import { describe, expect, it } from "vitest";
import { callTool, type ToolAnswer } from "../../src/slo";
import { SseReader } from "../../src/slo/sse";

/** How an answer of an MCP peer is read, byte by byte, and what counts as success (wake-slo §3.1; acceptance (h) and (i)). */

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

const VALUE = { id: "R1", text: "naïve – 日本 🛰" };
const okResult = { content: [{ type: "text", text: JSON.stringify(VALUE) }] };

type Make = (id: string) => { status?: number; type?: string; parts: (Uint8Array | "stall")[] };

/** A peer of these bytes. `seen` keeps the request; `cancelled` says that the rest was not wanted. */
function peer(make: Make) {
  const state: { request: RequestInit | null; cancelled: boolean } = { request: null, cancelled: false };
  const fetcher = async (_url: URL, init: RequestInit): Promise<Response> => {
    state.request = init;
    const { id } = JSON.parse(String(init.body)) as { id: string };
    const { status = 200, type = "text/event-stream", parts } = make(id);
    const body = new ReadableStream<Uint8Array>({
      async pull(controller) {
        const part = parts.shift();
        if (part === undefined) controller.close();
        else if (part === "stall") await new Promise(() => {});
        else controller.enqueue(part);
      },
      cancel: () => {
        state.cancelled = true;
      },
    });
    return new Response(body, { status, headers: { "content-type": type } });
  };
  const call = (timeout = 1_000): Promise<ToolAnswer> =>
    callTool(
      { url: new URL("http://127.0.0.1/mcp"), key: "q_key", tool: "agent_reply", args: { a: 1 }, timeout },
      fetcher,
    );
  return { state, call };
}

const answer = (id: string, more: object = { result: okResult }): string =>
  JSON.stringify({ jsonrpc: "2.0", id, ...more });

describe("an event stream", () => {
  it("(h) is read the same wherever it is cut", () => {
    const text =
      ': hello\r\nevent: message\r\ndata: {"a":\r\ndata:"日本"}\r\n\r\nid: 1\ndata\n\ndata: b🛰\r\rdata: lost';
    const whole = bytes(text);
    const expected = ['{"a":\n"日本"}', "", "b🛰"];
    expect(new SseReader().push(whole)).toEqual(expected);
    for (let cut = 0; cut <= whole.length; cut++) {
      const reader = new SseReader();
      const got = [...reader.push(whole.slice(0, cut)), ...reader.push(whole.slice(cut))];
      expect(got, `cut at ${cut}`).toEqual(expected);
    }
    const reader = new SseReader();
    expect([...whole].flatMap((b) => reader.push(Uint8Array.of(b)))).toEqual(expected);
  });

  it("(h) of a call is read at every byte boundary", async () => {
    for (let cut = 0; cut < 200; cut++) {
      const { call } = peer((id) => {
        const all = bytes(`event: message\ndata: ${answer(id)}\n\n`);
        return { parts: [all.slice(0, cut), all.slice(cut)].filter((p) => p.length > 0) };
      });
      expect(await call(), `cut at ${cut}`).toEqual({ ok: true, value: VALUE });
    }
  });

  it("is left at our id: notifications and other answers are passed over", async () => {
    const note = JSON.stringify({ jsonrpc: "2.0", method: "notifications/message", params: {} });
    const { call, state } = peer((id) => ({
      parts: [bytes(`data: ${note}\n\ndata: ${answer("other")}\n\ndata: [${answer(id)}]\n\n`), "stall"],
    }));
    expect(await call()).toEqual({ ok: true, value: VALUE });
    expect(state.cancelled).toBe(true);
  });

  it("a request of the peer's own under our id is no answer", async () => {
    const { call } = peer((id) => ({ parts: [bytes(`data: ${answer(id, { method: "ping" })}\n\n`)] }));
    expect(await call()).toMatchObject({ ok: false, why: "exception" });
  });
});

describe("a call", () => {
  it("asks for both kinds of answer, follows no redirect, and names no session", async () => {
    const { call, state } = peer((id) => ({ type: "application/json; charset=utf-8", parts: [bytes(answer(id))] }));
    expect(await call()).toEqual({ ok: true, value: VALUE });
    expect(state.request).toMatchObject({ method: "POST", redirect: "manual" });
    expect(state.request?.headers).toEqual({
      "content-type": "application/json",
      accept: "application/json, text/event-stream",
      authorization: "Bearer q_key",
    });
    expect(JSON.parse(String(state.request?.body))).toMatchObject({
      jsonrpc: "2.0",
      method: "tools/call",
      params: { name: "agent_reply", arguments: { a: 1 } },
    });
  });

  it.each<[string, Make, string]>([
    [
      "a JSON-RPC error",
      (id) => ({ parts: [bytes(`data: ${answer(id, { error: { code: -32601, message: "no" } })}\n\n`)] }),
      "refused",
    ],
    [
      "isError",
      (id) => ({ parts: [bytes(`data: ${answer(id, { result: { ...okResult, isError: true } })}\n\n`)] }),
      "refused",
    ],
    [
      "a result that is no object",
      (id) => ({ parts: [bytes(`data: ${answer(id, { result: "yes" })}\n\n`)] }),
      "exception",
    ],
    ["no result", (id) => ({ parts: [bytes(`data: ${answer(id, {})}\n\n`)] }), "exception"],
    ["HTTP 500", () => ({ status: 500, parts: [] }), "network"],
    ["a redirect", () => ({ status: 302, parts: [] }), "network"],
    ["HTTP 202", () => ({ status: 202, parts: [] }), "exception"],
    ["HTML", () => ({ type: "text/html", parts: [bytes("<p>")] }), "exception"],
    ["bytes that are no UTF-8", () => ({ parts: [bytes("data: "), Uint8Array.of(0xff, 0xfe, 10, 10)] }), "exception"],
    ["no JSON", () => ({ parts: [bytes("data: {oops\n\n")] }), "exception"],
    ["half an event", (id) => ({ parts: [bytes(`data: ${answer(id)}\n`)] }), "exception"],
    [
      "more than 1 MiB",
      () => ({ parts: Array.from({ length: 20 }, () => bytes(`: ${"x".repeat(65_536)}\n`)) }),
      "exception",
    ],
  ])("%s is a failure", async (_what, make, why) => {
    expect(await peer(make).call()).toMatchObject({ ok: false, why });
  });

  it("isError false is a success, and a text that is no JSON is the value", async () => {
    const result = { content: [{ type: "text", text: "done" }], isError: false };
    const { call } = peer((id) => ({ parts: [bytes(`data: ${answer(id, { result })}\n\n`)] }));
    expect(await call()).toEqual({ ok: true, value: "done" });
  });

  it("(i) a body that stalls is a timeout, before and inside an event", async () => {
    for (const first of [[], [bytes(`event: message\ndata: {"jsonrpc"`)]]) {
      const began = Date.now();
      const { call } = peer(() => ({ parts: [...first, "stall"] }));
      expect(await call(80)).toMatchObject({ ok: false, why: "timeout" });
      expect(Date.now() - began).toBeLessThan(800);
    }
  });
});
