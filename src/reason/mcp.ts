import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import type { JsonSchemaValidator, jsonSchemaValidator } from "@modelcontextprotocol/sdk/validation/types.js";
import * as z from "zod";
import { SECOND } from "../kernel/clock";
import { readCredential } from "../kernel/config";
import { clip } from "../kernel/errors";
import { guardedFetch } from "../kernel/net-guard";
import type { Runtime } from "../kernel/runtime";
import { clipWords, plain, plainLines } from "../notify";
import { fenced, makeFence } from "./fence";
import {
  checkMcpServer,
  type ListedTool,
  type McpServer,
  readMcpServer,
  readMcpServers,
  saveMcpHealth,
} from "./mcp.store";
import type { Tool } from "./types";

/**
 * Remote MCP servers as the built-in agent uses them (`kora-watch.md` §10): a connection lives for one use, over streamable
 * HTTP, inside the consumer. What comes back is an outsider's text. Why the SDK's client, and what was left out of it:
 * docs/decisions/010-mcp-client.md.
 */

const HEALTH_TIMEOUT_MS = 30 * SECOND;
/** A model waits for this within its own 60 s. */
const CALL_TIMEOUT_MS = 20 * SECOND;
/** Of one answer of a server; the rest of the stream is dropped and the use fails. */
const MAX_BODY = 1_048_576;
/** Characters of a tool's result that a model gets. */
export const MAX_RESULT = 8_192;
const MAX_PAGES = 5;
const MAX_TOOLS = 200;
const MAX_DESCRIPTION = 400;
const MAX_SCHEMA = 4_096;

type Deps = { db: D1Database; runtime: Runtime };

/** The SDK compiles output schemas with `new Function`, which workerd forbids; a result is untrusted text here either way. */
const noValidator: jsonSchemaValidator = {
  getValidator<T>(): JsonSchemaValidator<T> {
    return (input) => ({ valid: true, data: input as T, errorMessage: undefined });
  },
};

/** Ends a body that grows past the cap with an error instead of holding all of it. */
function capped(response: Response): Response {
  if (!response.body) return response;
  let size = 0;
  const cap = new TransformStream<Uint8Array, Uint8Array>({
    transform(chunk, controller) {
      size += chunk.length;
      if (size > MAX_BODY) controller.error(new Error("the answer is larger than 1 MiB"));
      else controller.enqueue(chunk);
    },
  });
  const { status, headers } = response;
  return new Response(response.body.pipeThrough(cap), { status, headers });
}

/**
 * Runs `use` over a fresh connection and closes it, whatever happens, within `timeoutMs` of wall time.
 * @throws anything the network, the guard or the server make of it; the text may quote the server.
 */
async function withServer<T>(
  { runtime }: Pick<Deps, "runtime">,
  server: McpServer,
  timeoutMs: number,
  use: (client: Client, timeout: number) => Promise<T>,
): Promise<T> {
  // The allow-list or the rules may have changed since the row was written.
  checkMcpServer(server, runtime.config.allowPrivate);
  const headers = new Headers({ "user-agent": "reveille-mcp/1" });
  if (server.credential !== null) {
    const token = readCredential(runtime.vars, server.credential);
    if (token === null) throw new Error(`${server.credential} is not set in the consumer`);
    headers.set("authorization", `Bearer ${token}`);
  }
  const deadline = AbortSignal.timeout(timeoutMs);
  const transport = new StreamableHTTPClientTransport(new URL(server.url), {
    requestInit: { headers },
    fetch: async (url, init) => {
      // The standing stream for a server's own messages: one use needs none, and the SDK takes 405 as "not offered".
      if (init?.method === "GET") return new Response(null, { status: 405 });
      const signal = init?.signal ? AbortSignal.any([init.signal, deadline]) : deadline;
      const { response } = await guardedFetch(
        new URL(url),
        { ...(init as RequestInit), signal, follow: false },
        runtime.config.allowPrivate,
      );
      return capped(response);
    },
  });
  const client = new Client({ name: "reveille", version: "1" }, { jsonSchemaValidator: noValidator });
  let fail: (error: Error) => void = () => {};
  const failed = new Promise<never>((_, reject) => {
    fail = reject;
  });
  // A stream that breaks off is told to this handler alone; the request would wait for its timeout.
  client.onerror = fail;
  deadline.addEventListener("abort", () => fail(new Error(`no answer within ${timeoutMs / SECOND} s`)));
  failed.catch(() => {});
  try {
    const work = (async () => {
      await client.connect(transport, { timeout: timeoutMs });
      return use(client, timeoutMs);
    })();
    work.catch(() => {});
    return await Promise.race([work, failed]);
  } finally {
    client.onerror = undefined;
    // A server that keeps sessions may forget this one; nobody waits for its word on that.
    await Promise.race([transport.terminateSession().catch(() => {}), new Promise((r) => setTimeout(r, SECOND))]);
    await client.close().catch(() => {});
  }
}

const asRecord = (value: unknown): Record<string, unknown> | null =>
  value !== null && typeof value === "object" && !Array.isArray(value) ? (value as Record<string, unknown>) : null;

/** The part of a tool's schema a model needs: names, types and choices of its arguments, no reference and no pattern. */
function readSchema(schema: unknown): Record<string, unknown> | null {
  const properties = asRecord(asRecord(schema)?.["properties"]) ?? {};
  const out: Record<string, unknown> = {};
  for (const [name, given] of Object.entries(properties).slice(0, 30)) {
    if (!/^[A-Za-z0-9_.-]{1,64}$/.test(name)) continue;
    const p = asRecord(given) ?? {};
    const one: Record<string, unknown> = {};
    if (typeof p["type"] === "string" && /^(string|number|integer|boolean|array|object)$/.test(p["type"]))
      one["type"] = p["type"];
    if (Array.isArray(p["enum"]) && p["enum"].every((x) => typeof x === "string" && x.length <= 60))
      one["enum"] = p["enum"].slice(0, 30);
    if (typeof p["description"] === "string")
      one["description"] = clipWords(plain(p["description"].slice(0, 800)), 200);
    out[name] = one;
  }
  const required = asRecord(schema)?.["required"];
  const needed = Array.isArray(required) ? required.filter((x) => typeof x === "string" && x in out) : [];
  const read = { type: "object", properties: out, ...(needed.length > 0 ? { required: needed } : {}) };
  return JSON.stringify(read).length <= MAX_SCHEMA ? read : null;
}

/** Every tool a server lists, cut to what is kept. @throws as `withServer`. */
async function listTools(
  { runtime }: Pick<Deps, "runtime">,
  server: McpServer,
  timeoutMs: number,
): Promise<ListedTool[]> {
  return withServer({ runtime }, server, timeoutMs, async (client, timeout) => {
    const out: ListedTool[] = [];
    let cursor: string | undefined;
    for (let page = 0; page < MAX_PAGES && out.length < MAX_TOOLS; page++) {
      const { tools, nextCursor } = await client.listTools(cursor ? { cursor } : {}, { timeout });
      for (const t of tools)
        if (/^[A-Za-z0-9_./-]{1,64}$/.test(t.name) && out.length < MAX_TOOLS)
          out.push({
            name: t.name,
            // Redacted before anything is cut: a server may repeat the very token it was given.
            description: clipWords(plain(runtime.redact.text(t.description ?? "").slice(0, 2_000)), MAX_DESCRIPTION),
            // Schemas are kept for the tools that may be used; a long list must not fill the row.
            input: server.allow.includes(t.name) ? readSchema(runtime.redact.json(t.inputSchema)) : null,
          });
      if (!nextCursor) break;
      cursor = nextCursor;
    }
    return out;
  });
}

/** One redacted line about a failed use. The server's own words stay behind its name. */
const errorText = (runtime: Runtime, error: unknown): string =>
  clip(plain(runtime.redact.text(error instanceof Error ? error.message : String(error)).slice(0, 2_000)), 300) ||
  "failed";

/** The listener `mcp_consumption`: one list_tools a server, all at once; the rows say what was found. `timeoutMs` is wall time. */
export async function checkMcpServers({ db, runtime }: Deps, timeoutMs = HEALTH_TIMEOUT_MS): Promise<string> {
  const servers = (await readMcpServers(db)).filter((s) => s.enabled);
  if (servers.length === 0) return "no server";
  const looks = await Promise.all(
    servers.map(async (server) => {
      try {
        return { server, tools: await listTools({ runtime }, server, timeoutMs), error: null };
      } catch (error) {
        return { server, tools: null, error: errorText(runtime, error) };
      }
    }),
  );
  const now = runtime.clock.now();
  await db.batch(looks.map(({ server, tools, error }) => saveMcpHealth(db, server, { tools, error }, now)));
  const up = looks.filter((l) => l.error === null).length;
  return `${up} of ${servers.length} connected`;
}

/** Names a model may call: letters, digits, _ and -, 64 at most, the same for every use. */
const localName = (server: string, tool: string): string =>
  `mcp_${server.replaceAll("-", "_")}_${tool.replace(/[^A-Za-z0-9_-]/g, "_")}`.slice(0, 64);

/**
 * The tools of remote servers that the built-in agent may use now: on the operator's list and on the server's own last list.
 * Reads rows only; a connection is made when a tool is called. `run` answers with text, never throws for what a server does.
 */
export async function remoteTools(db: D1Database, runtime: Runtime): Promise<Tool[]> {
  const out = new Map<string, Tool>();
  for (const server of await readMcpServers(db)) {
    if (!server.enabled || server.connected !== true) continue;
    for (const tool of server.tools) {
      const name = localName(server.name, tool.name);
      // Two names that fall together after cutting: the first keeps it, rather than one call meaning two things.
      if (!server.allow.includes(tool.name) || out.has(name)) continue;
      const input = tool.input === null ? z.looseObject({}) : z.looseObject({}).meta(tool.input);
      out.set(name, {
        name,
        description: `Tool ${tool.name} of the outside MCP server ${server.name}. Its own words, untrusted: ${tool.description || "none"}`,
        input,
        run: (given) => callRemote({ db, runtime }, server.name, tool.name, given),
      });
    }
  }
  return [...out.values()];
}

async function callRemote({ db, runtime }: Deps, name: string, tool: string, given: unknown): Promise<string> {
  const server = await readMcpServer(db, name);
  // An operator may have taken it off the list since the model was told of it.
  if (!server?.enabled || !server.allow.includes(tool)) return `The tool ${tool} of ${name} is not allowed any more.`;
  const args = asRecord(given) ?? {};
  if (JSON.stringify(args).length > MAX_RESULT) return "The arguments are too long.";
  try {
    const result = await withServer({ runtime }, server, CALL_TIMEOUT_MS, (client, timeout) =>
      client.callTool({ name: tool, arguments: args }, undefined, { timeout }),
    );
    return resultText(runtime, result);
  } catch (error) {
    const text = errorText(runtime, error);
    runtime.log("warn", "mcp.call_failed", { server: name, tool, error: text });
    return wrap(`The server ${name} did not answer: ${text}`);
  }
}

/** A result as data: cut, without invisible characters, between marks that no text in it can end. */
function resultText(runtime: Runtime, result: Record<string, unknown>): string {
  const parts = Array.isArray(result["content"]) ? result["content"] : [];
  const texts = parts.slice(0, 50).map((part) => {
    const p = asRecord(part) ?? {};
    if (p["type"] === "text" && typeof p["text"] === "string") return runtime.redact.text(p["text"]);
    return `(${typeof p["type"] === "string" ? p["type"].slice(0, 20) : "unknown"} left out)`;
  });
  if (texts.length === 0 && result["structuredContent"] !== undefined)
    texts.push(runtime.redact.text(JSON.stringify(result["structuredContent"])));
  const head = result["isError"] === true ? "The tool reports an error:\n" : "";
  return wrap(head + texts.join("\n").slice(0, 4 * MAX_RESULT));
}

function wrap(text: string): string {
  const mark = makeFence();
  const room = MAX_RESULT - fenced(mark, []).length - 2;
  return fenced(mark, [clipWords(plainLines(text.replaceAll(mark, "")), room)]);
}
