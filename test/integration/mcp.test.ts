import { env, exports } from "cloudflare:workers";
import { beforeEach, describe, expect, inject, it } from "vitest";
import * as z from "zod";
import consumer from "../../src/consumer";
import { TASKS_CRON } from "../../src/consumer/crons";
import type { ConsumerEnv } from "../../src/consumer/env";
import { makeClock } from "../../src/kernel/clock";
import { type Runtime, runtimeOf } from "../../src/kernel/runtime";
import { checkMcpServers, MAX_RESULT, remoteTools } from "../../src/reason/mcp";
import { testVars } from "../support/test-vars";

/**
 * Remote MCP servers in workerd against the official SDK's server on loopback: the catalogue's refusals, health as cached rows,
 * which tools are offered, and what of a hostile server reaches a model, a row or a log.
 */

const URL_OF = inject("mcpUrl");
const BASE = URL_OF.replace(/\/mcp$/, "");
const TOKEN = testVars({ platformsUrl: "" })["WATCH_MCP_DOCS"]!;
const db = env.DB;

interface Ledger {
  requests: Record<string, number>;
  methods: Record<string, number>;
  tools: Record<string, number>;
  sessions: { opened: number; ended: number };
  unauthorised: number;
}
const control = (body: unknown): Promise<Response> =>
  fetch(`${BASE}/_control`, { method: "POST", body: JSON.stringify(body) });
const ledger = async (): Promise<Ledger> => (await fetch(`${BASE}/_ledger`)).json();

interface Server {
  name: string;
  connected: boolean | null;
  tools_count: number | null;
  tools: string[];
  last_check_at: string | null;
  last_error: string | null;
}
interface Answer<T> {
  status: number;
  body: T & { error?: { code: string; message: string; field?: string; hint?: string } };
}
async function api<T>(method: string, path: string, body?: unknown): Promise<Answer<T>> {
  const res = await exports.default.fetch(`http://reveille.test/api/v1${path}`, {
    method,
    headers: { authorization: "Bearer test-operator-token-4f1c9b7e2a", "content-type": "application/json" },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return { status: res.status, body: (await res.json()) as Answer<T>["body"] };
}
const put = (more: Record<string, unknown> = {}, name = "docs") =>
  api<Server>("PUT", `/mcp-servers/${name}`, { url: URL_OF, credential: "WATCH_MCP_DOCS", allow: ["add"], ...more });
const server = async (name = "docs"): Promise<Server> => (await api<Server>("GET", `/mcp-servers/${name}`)).body;

const lines: string[] = [];
const runtime: Runtime = {
  ...runtimeOf(env, "mcp-test"),
  log: (level, event, fields) => lines.push(JSON.stringify({ level, event, ...fields })),
};
const check = (rt = runtime): Promise<string> => checkMcpServers({ db, runtime: rt });
const tool = async (name: string) => (await remoteTools(db, runtime)).find((t) => t.name === name);

beforeEach(async () => {
  lines.length = 0;
  await control({ reset: true });
  await db.prepare("DELETE FROM mcp_server").run();
});

describe("the catalogue", () => {
  const bad: [string, string, Record<string, unknown>, string][] = [
    ["a private address", "docs", { url: "http://10.0.0.8/mcp" }, "url"],
    ["a metadata address in disguise", "docs", { url: "http://[::ffff:169.254.169.254]/" }, "url"],
    ["another scheme", "docs", { url: "ws://example.com/mcp" }, "url"],
    ["a password in the URL", "docs", { url: "https://a:b@example.com/mcp" }, "url"],
    ["a secret in the query", "docs", { url: "https://example.com/mcp?api_key=abc" }, "url"],
    ["a token over plain http", "docs", { url: "http://example.com/mcp" }, "url"],
    ["one of our own secrets", "docs", { credential: "REVEILLE_SLACK_BOT_TOKEN" }, "credential"],
    ["the credential of a target", "docs", { credential: "WATCH_CANARY" }, "credential"],
    ["a vendor's token", "docs", { credential: "FLY_API_TOKEN" }, "credential"],
    ["a token where its name belongs", "docs", { credential: "sk-live-0123456789abcdef" }, "credential"],
    ["a tool name with a space", "docs", { allow: ["delete everything"] }, "allow.0"],
    ["an unknown key", "docs", { token: "x" }, "token"],
    ["a name with a slash", "a%2Fb", {}, "name"],
  ];
  it.each(bad)("refuses %s", async (_what, name, body, field) => {
    const answer = await put(body, name);
    expect([answer.status, answer.body.error?.field]).toEqual([400, field]);
    expect(JSON.stringify(answer.body)).not.toContain("sk-live");
    expect((await api<{ items: unknown[] }>("GET", "/mcp-servers")).body.items).toEqual([]);
  });

  it("writes, replaces, forgets what was seen of another URL, and deletes", async () => {
    const made = await put();
    expect(made).toMatchObject({ status: 200, body: { name: "docs", connected: null, tools: [], enabled: true } });
    expect(await check()).toBe("1 of 1 connected");
    await put({ allow: ["add", "search_docs"] });
    expect(await server()).toMatchObject({ connected: true, tools_count: 5 });
    await put({ url: `${BASE}/other` });
    expect(await server()).toMatchObject({ connected: null, tools_count: null, tools: [], last_check_at: null });
    expect((await api("DELETE", "/mcp-servers/docs")).body).toEqual({ deleted: "docs" });
    expect((await api("DELETE", "/mcp-servers/docs")).status).toBe(404);
    expect((await api("GET", "/mcp-servers/docs")).status).toBe(404);
    const { results } = await db
      .prepare("SELECT details FROM audit WHERE seam = 'config.changed' AND details LIKE '%MCP server%' ORDER BY id")
      .all<{ details: string }>();
    expect(results.map((r) => JSON.parse(r.details).change)).toEqual(
      ["added", "changed", "changed", "deleted"].map((x) => `MCP server ${x}`),
    );
  });

  it("has room for twenty, however many come at once", async () => {
    const answers = await Promise.all(
      Array.from({ length: 24 }, (_, i) => put({ credential: null, enabled: false }, `s${i}`)),
    );
    expect(answers.filter((a) => a.status === 200)).toHaveLength(20);
    expect(answers.filter((a) => a.body.error?.code === "too_many")).toHaveLength(4);
    const kept = answers.findIndex((a) => a.status === 200);
    expect((await put({ allow: ["x"], credential: null }, `s${kept}`)).status).toBe(200);
  });
});

describe("health", () => {
  it("is one list_tools over a session that is ended, cached with its names", async () => {
    await put();
    expect(await check()).toBe("1 of 1 connected");
    const seen = await server();
    expect(seen).toMatchObject({ connected: true, tools_count: 5, last_error: null });
    expect(seen.tools).toContain("search_docs");
    expect(Date.parse(seen.last_check_at!)).toBeGreaterThan(0);
    const { methods, sessions, requests } = await ledger();
    expect(methods).toEqual({ initialize: 1, "notifications/initialized": 1, "tools/list": 1 });
    expect(sessions).toEqual({ opened: 1, ended: 1 });
    // No standing stream is opened for one use.
    expect(requests["GET"]).toBeUndefined();
  });

  it("takes plain JSON answers as well", async () => {
    await control({ mode: "json" });
    await put();
    expect(await check()).toBe("1 of 1 connected");
  });

  const faults: [string, RegExp][] = [
    ["500", /500|internal/i],
    ["401", /401|invalid_token/],
    ["garbage", /./],
    ["huge", /larger than 1 MiB/],
    ["redirect", /./],
    ["leak", /REDACTED/],
  ];
  it.each(faults)("says why not: %s", async (mode, words) => {
    await put();
    await check();
    await control({ mode });
    expect(await check()).toBe("0 of 1 connected");
    const seen = await server();
    expect(seen).toMatchObject({ connected: false, tools_count: 5 });
    expect(seen.last_error).toMatch(words);
    expect(JSON.stringify(await db.prepare("SELECT * FROM mcp_server").all())).not.toContain(TOKEN);
    // What is down is not offered; its list is kept for when it is back.
    expect(await remoteTools(db, runtime)).toEqual([]);
    await control({ mode: "ok" });
    await check();
    expect((await server()).last_error).toBeNull();
    expect(await remoteTools(db, runtime)).toHaveLength(1);
  });

  it("names the binding that is missing, and never asks without it", async () => {
    await put({ credential: "WATCH_MCP_ABSENT" });
    await check();
    expect((await server()).last_error).toContain("WATCH_MCP_ABSENT is not set in the consumer");
    expect((await ledger()).methods).toEqual({});
  });

  it("looks at all servers at once and leaves the disabled alone", async () => {
    await put({}, "a");
    await put({ enabled: false }, "b");
    await put({ url: `${BASE}/nothing-here`, credential: null }, "c");
    expect(await check()).toBe("1 of 2 connected");
    expect((await server("b")).last_check_at).toBeNull();
    expect((await server("c")).connected).toBe(false);
  });

  it("gives up on a server that hangs, while the others are looked at", async () => {
    await control({ mode: "hang" });
    await put();
    await put({ url: `${BASE}/nothing-here`, credential: null }, "other");
    expect(await checkMcpServers({ db, runtime }, 1_500)).toBe("0 of 2 connected");
    expect((await server()).last_error).toMatch(/no answer within 1.5 s|timed out/);
    expect((await server("other")).last_check_at).not.toBeNull();
  });

  it("is the consumer's listener mcp_consumption", async () => {
    await put();
    const controller = { scheduledTime: Date.now(), cron: TASKS_CRON, noRetry: () => {} } as ScheduledController;
    await consumer.scheduled(controller, env as unknown as ConsumerEnv);
    expect(await server()).toMatchObject({ connected: true });
    const row = await db.prepare("SELECT note FROM listener_state WHERE name = 'mcp_consumption'").first("note");
    expect(row).toBe("1 of 1 connected");
  });
});

describe("the tools of a remote server", () => {
  it("are offered when they are on both lists, and only then", async () => {
    expect(await remoteTools(db, runtime)).toEqual([]);
    await put({ allow: ["add", "search_docs", "no_such_tool"] });
    expect(await remoteTools(db, runtime)).toEqual([]);
    await check();
    const names = async () => (await remoteTools(db, runtime)).map((t) => t.name).sort();
    expect(await names()).toEqual(["mcp_docs_add", "mcp_docs_search_docs"]);
    await control({ search: false });
    await check();
    expect(await names()).toEqual(["mcp_docs_add"]);
    await put({ enabled: false });
    expect(await names()).toEqual([]);
    expect((await ledger()).tools).toEqual({});
  });

  it("run over a connection of their own and answer as fenced data", async () => {
    await put();
    await check();
    const add = (await tool("mcp_docs_add"))!;
    const answer = await add.run({ a: 19, b: 23 });
    expect(answer).toMatch(/^UNTRUSTED ([0-9a-f]{18}) BEGIN\n42\nUNTRUSTED \1 END$/);
    expect(await ledger()).toMatchObject({ tools: { add: 1 }, sessions: { opened: 2, ended: 2 } });
    // The remote server checks its own arguments; its word on them comes back as text.
    expect(await add.run({ a: "x" })).toMatch(/UNTRUSTED/);
    expect((await ledger()).tools).toEqual({ add: 1 });
  });

  it("tell the model their arguments, without the server's patterns", async () => {
    await put({ allow: ["search_docs"] });
    await check();
    const search = (await tool("mcp_docs_search_docs"))!;
    expect(z.toJSONSchema(search.input)).toMatchObject({
      type: "object",
      properties: { query: { type: "string" }, kind: { enum: ["guide", "api"] } },
      required: ["query"],
    });
    expect(search.description).toContain("untrusted");
    expect(search.description).not.toContain("\u200b");
    expect(search.description.length).toBeLessThan(520);
  });

  it("can't break out of their fence, however hostile or long the answer is", async () => {
    await put({ allow: ["search_docs", "picture"] });
    await check();
    const search = (await tool("mcp_docs_search_docs"))!;
    const hostile = String(await search.run({ query: "pages" }));
    const mark = /^UNTRUSTED ([0-9a-f]{18}) BEGIN\n/.exec(hostile)![1]!;
    expect(hostile.endsWith(`\nUNTRUSTED ${mark} END`)).toBe(true);
    expect(hostile.split(mark)).toHaveLength(3);
    expect(hostile).not.toMatch(/[\u202e\u200b]/);
    const long = String(await search.run({ query: "long" }));
    expect(long.length).toBeLessThanOrEqual(MAX_RESULT);
    expect(long).toMatch(/END$/);
    expect(await (await tool("mcp_docs_picture"))!.run({})).toContain("(image left out)");
    expect((await ledger()).tools["delete_everything"]).toBeUndefined();
  });

  it("follow the operator's list at the moment of the call", async () => {
    await put();
    await check();
    const add = (await tool("mcp_docs_add"))!;
    await put({ allow: [] });
    expect(await add.run({ a: 1, b: 2 })).toContain("not allowed any more");
    await api("DELETE", "/mcp-servers/docs");
    expect(await add.run({ a: 1, b: 2 })).toContain("not allowed any more");
    expect((await ledger()).tools).toEqual({});
  });

  it("answer with words, and without the token, when the server fails", async () => {
    await put({ allow: ["fails", "add"] });
    await check();
    const fails = (await tool("mcp_docs_fails"))!;
    const said = String(await fails.run({}));
    expect(said).toContain("The tool reports an error");
    expect(said).toContain("boom with");
    const add = (await tool("mcp_docs_add"))!;
    for (const mode of ["leak", "500", "broken", "huge"]) {
      await control({ mode });
      const answer = String(await add.run({ a: 1, b: 2 }));
      expect(answer, mode).toContain("The server docs did not answer");
      expect(answer).toMatch(/^UNTRUSTED/);
    }
    expect(await add.run({ a: "x".repeat(9_000) })).toBe("The arguments are too long.");
    expect(said + lines.join()).not.toContain(TOKEN);
    expect(lines.length).toBeGreaterThan(0);
    expect(JSON.stringify(await db.prepare("SELECT * FROM mcp_server").all())).not.toContain(TOKEN);
  });

  it("are refused by the guard when the allow-list no longer names the host", async () => {
    await put();
    await check();
    const strict: Runtime = { ...runtime, clock: makeClock(), config: { ...runtime.config, allowPrivate: [] } };
    const add = (await remoteTools(db, strict)).find((t) => t.name === "mcp_docs_add")!;
    expect(await add.run({ a: 1, b: 2 })).toContain("private address");
    expect((await ledger()).tools).toEqual({});
    expect(await check(strict)).toBe("0 of 1 connected");
  });
});
