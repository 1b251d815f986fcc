import * as z from "zod";
import { SECOND } from "../kernel/clock";
import { SseReader } from "./sse";

/**
 * One tool call over stateless MCP (wake-slo §3): bare JSON-RPC, no session, for latency. Success means HTTP 200, our id, no
 * `error`, an object as `result`, and `isError` not true; everything else is a failure with its kind.
 */

/** For a whole call, its body included. Wall ms. */
export const CALL_TIMEOUT = 5 * SECOND;
const MAX_BODY = 1024 * 1024;

/** A fetch that follows no redirect. */
export type McpFetch = (url: URL, init: RequestInit) => Promise<Response>;

export interface ToolCall {
  url: URL;
  /** Sent as bearer token; it stands in no result of this function's own making. */
  key: string;
  tool: string;
  args: Record<string, unknown>;
  /** Wall ms. */
  timeout?: number;
}

/**
 * `refused`: the peer answered and said no. `network`: no connection, or another HTTP status. `exception`: an answer that is
 * none. `detail` may quote the peer: redact it.
 */
export type ToolAnswer =
  | { ok: true; value: unknown }
  | { ok: false; why: "refused" | "network" | "timeout" | "exception"; detail: string };

class Failure extends Error {
  constructor(
    readonly why: "refused" | "network" | "timeout" | "exception",
    detail: string,
  ) {
    super(detail);
  }
}

const message = z.looseObject({
  id: z.unknown().optional(),
  error: z.unknown().optional(),
  result: z.unknown().optional(),
});
type Message = z.infer<typeof message>;
const result = z.looseObject({
  isError: z.unknown().optional(),
  content: z
    .array(z.looseObject({ type: z.string(), text: z.string().optional() }))
    .optional()
    .catch(undefined),
});

/** Calls a tool. Never throws. */
export async function callTool(ask: ToolCall, fetcher: McpFetch): Promise<ToolAnswer> {
  const abort = new AbortController();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const ms = ask.timeout ?? CALL_TIMEOUT;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new Failure("timeout", `no answer within ${ms} ms`));
      abort.abort();
    }, ms);
  });
  const work = exchange(ask, fetcher, abort.signal);
  // When the deadline wins, nobody listens to the other any more.
  work.catch(() => {});
  try {
    return { ok: true, value: await Promise.race([work, late]) };
  } catch (error) {
    if (error instanceof Failure) return { ok: false, why: error.why, detail: error.message };
    return { ok: false, why: "exception", detail: String(error) };
  } finally {
    clearTimeout(timer ?? null);
    abort.abort();
  }
}

async function exchange(ask: ToolCall, fetcher: McpFetch, signal: AbortSignal): Promise<unknown> {
  const id = crypto.randomUUID();
  const response = await connect(ask, fetcher, {
    method: "POST",
    redirect: "manual",
    signal,
    headers: {
      "content-type": "application/json",
      // Both are asked for: a server of the SDK answers 406 to less (wake-slo §3).
      accept: "application/json, text/event-stream",
      authorization: `Bearer ${ask.key}`,
    },
    body: JSON.stringify({
      jsonrpc: "2.0",
      id,
      method: "tools/call",
      params: { name: ask.tool, arguments: ask.args },
    }),
  });
  if (response.status !== 200) {
    void response.body?.cancel().catch(() => {});
    const ok = response.status > 200 && response.status < 300;
    throw new Failure(ok ? "exception" : "network", `HTTP ${response.status}`);
  }
  const type = (response.headers.get("content-type") ?? "").split(";")[0]!.trim().toLowerCase();
  if (type !== "text/event-stream" && type !== "application/json")
    throw new Failure("exception", `content type "${type.slice(0, 60)}"`);
  return toolValue(await readMessage(response.body, type === "text/event-stream", id));
}

async function connect(ask: ToolCall, fetcher: McpFetch, init: RequestInit): Promise<Response> {
  try {
    return await fetcher(ask.url, init);
  } catch (error) {
    // The runtime's own words for an unreachable host may name it; nothing of the request is in them.
    throw new Failure("network", error instanceof Error ? error.message : String(error));
  }
}

/** Reads until the message with our id; cancels what comes after it. */
async function readMessage(body: ReadableStream<Uint8Array> | null, sse: boolean, id: string): Promise<Message> {
  if (!body) throw new Failure("exception", "an empty answer");
  const reader = body.getReader();
  const events = new SseReader();
  const parts: Uint8Array[] = [];
  let size = 0;
  try {
    for (;;) {
      const { done, value } = await read(reader);
      if (done) break;
      size += value.length;
      if (size > MAX_BODY) throw new Failure("exception", `an answer of more than ${MAX_BODY} bytes`);
      if (!sse) parts.push(value);
      else
        for (const data of events.push(value)) {
          const found = pick(data, id);
          if (found) return found;
        }
    }
  } finally {
    void reader.cancel().catch(() => {});
  }
  const found = sse ? null : pick(new TextDecoder("utf-8", { fatal: true, ignoreBOM: false }).decode(join(parts)), id);
  if (!found) throw new Failure("exception", "the answer ended without a message of our id");
  return found;
}

async function read(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<ReadableStreamReadResult<Uint8Array>> {
  try {
    return await reader.read();
  } catch (error) {
    throw new Failure("network", error instanceof Error ? error.message : String(error));
  }
}

function join(parts: Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((n, p) => n + p.length, 0));
  let at = 0;
  for (const p of parts) {
    out.set(p, at);
    at += p.length;
  }
  return out;
}

/** The response with our id in this JSON text, or null; notifications and other ids are passed over. */
function pick(text: string, id: string): Message | null {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Failure("exception", "the answer is not JSON");
  }
  for (const one of Array.isArray(value) ? value : [value]) {
    const read = message.safeParse(one);
    // A request of the peer's own may carry any id: it has a method.
    if (read.success && read.data.id === id && read.data["method"] === undefined) return read.data;
  }
  return null;
}

const quote = (value: unknown): string => (typeof value === "string" ? value : (JSON.stringify(value) ?? "nothing"));

/** The tool's value: its text as JSON where it is that. @throws Failure when the peer refused or said nothing usable. */
function toolValue(answer: Message): unknown {
  if (answer.error !== undefined && answer.error !== null) {
    const told = (answer.error as { message?: unknown }).message;
    throw new Failure("refused", `JSON-RPC error: ${quote(told ?? answer.error)}`);
  }
  const read = result.safeParse(answer.result);
  if (!read.success) throw new Failure("exception", "the answer has no result");
  const text = read.data.content?.find((c) => c.type === "text")?.text;
  if (read.data.isError === true) throw new Failure("refused", text ?? "isError without a text");
  if (text === undefined) return read.data;
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
