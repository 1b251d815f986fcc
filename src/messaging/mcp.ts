import * as z from "zod";
import type { McpTool } from "./tools";
import { ToolFault } from "./types";

/**
 * MCP over streamable HTTP, without sessions and without state (wake-slo §3): each POST stands alone, and its answer is an event
 * stream of one message per request. By hand, because the SDK's server would double the weight of what the edge does with it
 * (docs/decisions/016-mcp-server.md).
 */

/** Newest first; the first is what a client gets that asks for one we don't know. */
export const PROTOCOL_VERSIONS = ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05", "2024-10-07"];

export const MAX_REQUEST = 1_048_576;
/** Requests of one array. */
const MAX_TOGETHER = 20;

export interface McpServer {
  name: string;
  version: string;
  instructions: string;
  tools: McpTool[];
  /** What is no refusal of a tool: logged, and told to nobody. */
  failed(tool: string, error: unknown): void;
}

type Id = string | number;

const rpcMessage = z.looseObject({
  jsonrpc: z.literal("2.0"),
  id: z.union([z.string(), z.number()]).optional(),
  method: z.string().optional(),
  params: z.record(z.string(), z.unknown()).optional(),
});

const result = (id: Id, value: unknown): object => ({ jsonrpc: "2.0", id, result: value });
const failure = (id: Id | null, code: number, message: string): object => ({
  jsonrpc: "2.0",
  id,
  error: { code, message },
});

/** A JSON-RPC error that belongs to no request. */
export function rpcError(status: number, code: number, message: string): Response {
  return Response.json(failure(null, code, message), { status });
}

/** Refuses by the request's head what could not be answered, or null. The caller has been let in already. */
export function refuseHead(headers: Headers): Response | null {
  const accept = (headers.get("accept") ?? "").toLowerCase();
  if (!accept.includes("application/json") || !accept.includes("text/event-stream"))
    return rpcError(406, -32000, "Not Acceptable: Client must accept both application/json and text/event-stream");
  const type = (headers.get("content-type") ?? "").split(";")[0]!.trim().toLowerCase();
  if (type !== "application/json")
    return rpcError(415, -32000, "Unsupported Media Type: Content-Type must be application/json");
  const version = headers.get("mcp-protocol-version");
  if (version !== null && !PROTOCOL_VERSIONS.includes(version))
    return rpcError(
      400,
      -32000,
      `Bad Request: Unsupported protocol version (supported versions: ${PROTOCOL_VERSIONS.join(", ")})`,
    );
  return null;
}

/** Answers a body. Requests of an array are answered one after the other: a later one may count on an earlier one. */
export async function answerBody(text: string, server: McpServer): Promise<Response> {
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    return rpcError(400, -32700, "Parse error: Invalid JSON");
  }
  const messages = Array.isArray(body) ? body : [body];
  if (messages.length === 0 || messages.length > MAX_TOGETHER)
    return rpcError(400, -32600, `Invalid Request: 1 to ${MAX_TOGETHER} messages at once`);
  const read = messages.map((m) => rpcMessage.safeParse(m));
  if (!read.every((m) => m.success)) return rpcError(400, -32600, "Invalid Request: not a JSON-RPC 2.0 message");
  const answers: object[] = [];
  for (const { data } of read) {
    // Notifications want no answer, and answers to requests we never make are none of ours.
    if (data.id === undefined || data.method === undefined) continue;
    answers.push(await answerOne(data.id, data.method, data.params ?? {}, server));
  }
  if (answers.length === 0) return new Response(null, { status: 202 });
  // JSON has no raw line end, so each message is one data line.
  const stream = answers.map((a) => `event: message\ndata: ${JSON.stringify(a)}\n\n`).join("");
  return new Response(stream, {
    headers: { "content-type": "text/event-stream", "cache-control": "no-cache, no-transform" },
  });
}

async function answerOne(id: Id, method: string, params: Record<string, unknown>, server: McpServer): Promise<object> {
  switch (method) {
    case "initialize": {
      const asked = params["protocolVersion"];
      return result(id, {
        protocolVersion: PROTOCOL_VERSIONS.find((v) => v === asked) ?? PROTOCOL_VERSIONS[0],
        capabilities: { tools: {} },
        serverInfo: { name: server.name, version: server.version },
        instructions: server.instructions,
      });
    }
    case "ping":
      return result(id, {});
    case "tools/list":
      return result(id, {
        tools: server.tools.map((t) => ({
          name: t.name,
          description: t.description,
          inputSchema: t.schema,
          annotations: { readOnlyHint: t.reads },
        })),
      });
    case "tools/call": {
      const { name, arguments: args = {} } = params;
      if (typeof name !== "string") return failure(id, -32602, "Invalid params: name must be a string");
      return result(id, await callTool(name, args, server));
    }
    default:
      return failure(id, -32601, "Method not found");
  }
}

const content = (text: string, isError: boolean): object => ({
  content: [{ type: "text", text }],
  ...(isError ? { isError: true } : {}),
});

/** A refusal is a result too: what a model did wrong, the model must read. */
async function callTool(name: string, given: unknown, server: McpServer): Promise<object> {
  const tool = server.tools.find((t) => t.name === name);
  if (!tool) return content(`MCP error -32602: Tool ${name.slice(0, 100)} not found`, true);
  const args = tool.input.safeParse(given);
  if (!args.success) {
    const why = args.error.issues.map((i) => `${i.path.join(".") || "arguments"}: ${i.message}`).join("; ");
    const text = `Input validation error: Invalid arguments for tool ${name}: ${why.slice(0, 500)}`;
    return content(`MCP error -32602: ${text}`, true);
  }
  try {
    return content(JSON.stringify(await tool.call(args.data as never)), false);
  } catch (error) {
    if (error instanceof ToolFault) return content(`${error.code}: ${error.message}`, true);
    server.failed(name, error);
    return content("INTERNAL: something failed on our side; it is in the log. Try again.", true);
  }
}
