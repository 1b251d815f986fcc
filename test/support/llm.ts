import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { LlmCall, LlmControl, LlmLedger, LlmOptions, LlmReply } from "./llm.types";

/**
 * Model providers as the outside world shows them: Anthropic Messages at `POST /v1/messages`, OpenAI Chat Completions at
 * `POST /v1/chat/completions`. `POST /_control` scripts the answers, `GET /_ledger` tells what was asked: the oracle of tests,
 * demo and drills.
 */

export interface Llm {
  url: string;
  port: number;
  ledger(): LlmLedger;
  control(change: LlmControl): void;
  /** Lets every held answer go. */
  release(): void;
  close(): Promise<void>;
}

type Body = Record<string, unknown>;
type Usage = NonNullable<LlmCall["usage"]>;
type Turn = { role: string; content: unknown; [more: string]: unknown };

/** What a reply comes to, before it is put into a wire format. */
interface Answer {
  text: string;
  tools: { name: string; input: unknown }[];
  cut: boolean;
  usage: Usage | null;
}

const GOOD = "The target answers 503 since its last release; the machine exited with code 137.";

export async function startLlm(port = 0, options: LlmOptions = {}): Promise<Llm> {
  let ledger: LlmLedger = { calls: [], malformed: [] };
  let queue: LlmReply[] = [];
  let otherwise: LlmReply = { mode: "good" };
  let serial = 0;
  const held: (() => void)[] = [];

  const control: Llm["control"] = (change) => {
    if (change.reset) {
      ledger = { calls: [], malformed: [] };
      queue = [];
      otherwise = { mode: "good" };
    }
    if (change.otherwise) otherwise = change.otherwise;
    queue.push(...(change.queue ?? []));
  };

  const server = createServer((req, res) => {
    handle(req, res).catch((error) => {
      if (!res.headersSent) json(res, 500, { error: { type: "api_error", message: String(error) } });
    });
  });

  async function handle(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const path = new URL(req.url ?? "/", "http://stand-in").pathname;
    const raw = await readBody(req);
    if (path === "/_ledger" && req.method === "GET") return json(res, 200, ledger);
    if (path === "/_control" && req.method === "POST") {
      control(JSON.parse(raw) as LlmControl);
      return json(res, 200, { ok: true });
    }
    const wire = path === "/v1/messages" ? "anthropic" : path === "/v1/chat/completions" ? "openai" : null;
    if (wire === null || req.method !== "POST") return json(res, 404, failure("openai", 404, "no such path"));
    const body = JSON.parse(raw) as Body;
    const wrong = wire === "anthropic" ? anthropicRefusal(req, body) : openaiRefusal(req, body);
    if (wrong) {
      ledger.malformed.push(wrong);
      return json(res, 400, failure(wire, 400, wrong));
    }
    const messages = (body["messages"] as Turn[]).length;
    const about = options.about?.exec(raw)?.[1] ?? null;
    const reply = queue.shift() ?? options.choose?.({ about, messages }) ?? otherwise;
    const call: LlmCall = {
      wire,
      model: String(body["model"]),
      about,
      messages,
      tools: toolNames(wire, body),
      max_tokens: typeof body["max_tokens"] === "number" ? body["max_tokens"] : null,
      request_id: (req.headers["x-request-id"] as string | undefined) ?? null,
      keyed: Boolean(req.headers["x-api-key"] ?? req.headers.authorization),
      mode: reply.mode,
      status: null,
      usage: null,
      prompt_hash: createHash("sha256")
        .update(JSON.stringify([body["system"] ?? null, body["messages"]]))
        .digest("hex")
        .slice(0, 16),
      at: Date.now(),
    };
    ledger.calls.push(call);
    if (reply.delay) await new Promise((resolve) => setTimeout(resolve, reply.delay));
    if (reply.held) await new Promise<void>((resolve) => held.push(resolve));
    await answer(res, wire, body, raw, reply, call);
  }

  async function answer(
    res: ServerResponse,
    wire: LlmCall["wire"],
    body: Body,
    raw: string,
    reply: LlmReply,
    call: LlmCall,
  ): Promise<void> {
    if (reply.mode === "hang") return;
    if (reply.mode === "drop") return void res.destroy();
    if (reply.mode === "status") {
      call.status = reply.status ?? 500;
      return json(res, call.status, failure(wire, call.status, reply.text ?? "scripted failure"), {
        "retry-after": "1",
      });
    }
    if (reply.mode === "redirect") {
      call.status = 307;
      return void res.writeHead(307, { location: `${reply.text ?? "http://127.0.0.1:9"}/v1/messages` }).end();
    }
    call.status = 200;
    if (reply.mode === "bad_wire")
      return void res.writeHead(200, { "content-type": "text/html" }).end("<h1>gateway</h1>");
    const made = think(reply, raw, call);
    call.usage = made.usage;
    serial++;
    json(res, 200, wire === "anthropic" ? anthropicBody(body, made, serial) : openaiBody(body, made, serial), {
      "request-id": `req_${serial}`,
    });
  }

  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  const bound = (server.address() as AddressInfo).port;
  return {
    url: `http://127.0.0.1:${bound}`,
    port: bound,
    ledger: () => ledger,
    control,
    release: () => {
      for (const go of held.splice(0)) go();
    },
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}

/** The model: what it says and which tools it asks for. A turn that brings tool results back gets its text. */
function think(reply: LlmReply, raw: string, call: LlmCall): Answer {
  const counted = {
    input: reply.usage?.input ?? Math.ceil(raw.length / 4),
    output: reply.usage?.output ?? 60,
    cache_write: reply.usage?.cache_write ?? 0,
    cache_read: reply.usage?.cache_read ?? 0,
  };
  const base: Answer = { text: reply.text ?? GOOD, tools: [], cut: false, usage: counted };
  const first = call.tools[0];
  switch (reply.mode) {
    case "investigation":
      return { ...base, text: reply.text ?? investigation(raw) };
    case "bad_json":
      return { ...base, text: reply.text ?? '{"summary": "the machine exited, "evidence": [E1' };
    case "truncated":
      return { ...base, text: reply.text ?? '{"summary": "The machine was', cut: true };
    case "empty":
      return { ...base, text: reply.text ?? "  \n" };
    case "tool":
      return { ...base, text: "", tools: reply.tools ?? (first ? [{ name: first, input: {} }] : []) };
    case "loop":
      return first ? { ...base, text: "", tools: reply.tools ?? [{ name: first, input: {} }] } : base;
    case "hostile":
      return {
        ...base,
        text: "",
        tools: reply.tools ?? [
          { name: "restart_machine", input: { app: "billing", machine: "0000000000000000" } },
          { name: first ?? "delete_target", input: { target_id: "../../another-target", limit: 1e9 } },
        ],
      };
    case "no_usage":
      return { ...base, usage: null };
    default:
      return base;
  }
}

/** A well-formed investigation over the evidence ids that stand in the prompt. */
function investigation(raw: string): string {
  const ids = [...new Set(raw.match(/\bE\d{1,3}\b/g) ?? [])].slice(0, 3);
  return JSON.stringify({
    summary: `The target fails its looks${ids.length ? ` [${ids.join(", ")}]` : ""}; nothing else changed at that time.`,
    evidence: ids,
    confidence: 0.82,
    likely_cause: "The service behind it stopped answering.",
    next_step: "Look at its last release and its logs.",
    proposed_action: null,
  });
}

function anthropicBody(body: Body, made: Answer, serial: number): Body {
  const content: Body[] = [
    ...(made.text === "" ? [] : [{ type: "text", text: made.text }]),
    ...made.tools.map((t, i) => ({ type: "tool_use", id: `toolu_${serial}_${i}`, name: t.name, input: t.input })),
  ];
  return {
    id: `msg_${serial}`,
    type: "message",
    role: "assistant",
    model: body["model"],
    content,
    stop_reason: made.cut ? "max_tokens" : made.tools.length > 0 ? "tool_use" : "end_turn",
    stop_sequence: null,
    usage: {
      input_tokens: made.usage?.input ?? 0,
      output_tokens: made.usage?.output ?? 0,
      cache_creation_input_tokens: made.usage?.cache_write ?? 0,
      cache_read_input_tokens: made.usage?.cache_read ?? 0,
    },
  };
}

function openaiBody(body: Body, made: Answer, serial: number): Body {
  const usage = made.usage;
  const prompt = usage ? usage.input + usage.cache_read : 0;
  return {
    id: `chatcmpl-${serial}`,
    object: "chat.completion",
    created: Math.floor(Date.now() / 1000),
    model: body["model"],
    choices: [
      {
        index: 0,
        message: {
          role: "assistant",
          content: made.text === "" ? null : made.text,
          ...(made.tools.length > 0
            ? {
                tool_calls: made.tools.map((t, i) => ({
                  id: `call_${serial}_${i}`,
                  type: "function",
                  function: { name: t.name, arguments: JSON.stringify(t.input) },
                })),
              }
            : {}),
        },
        finish_reason: made.cut ? "length" : made.tools.length > 0 ? "tool_calls" : "stop",
      },
    ],
    ...(usage
      ? {
          usage: {
            prompt_tokens: prompt,
            completion_tokens: usage.output,
            total_tokens: prompt + usage.output,
            prompt_tokens_details: { cached_tokens: usage.cache_read },
          },
        }
      : {}),
  };
}

/** Anthropic's checks that a caller can trip over. */
function anthropicRefusal(req: IncomingMessage, body: Body): string | null {
  if (!req.headers["x-api-key"]) return "x-api-key: header is required";
  if (!req.headers["anthropic-version"]) return "anthropic-version: header is required";
  if (typeof body["model"] !== "string") return "model: Field required";
  if (!Number.isInteger(body["max_tokens"]) || Number(body["max_tokens"]) < 1) return "max_tokens: Field required";
  const messages = body["messages"] as Turn[] | undefined;
  if (!Array.isArray(messages) || messages.length === 0) return "messages: at least one message is required";
  if (messages[0]?.role !== "user") return "messages: first message must use the user role";
  let asked: string[] = [];
  for (const [i, turn] of messages.entries()) {
    if (turn.role !== "user" && turn.role !== "assistant") return `messages.${i}.role: unexpected role`;
    const blocks = Array.isArray(turn.content) ? (turn.content as Body[]) : [];
    const given = blocks.filter((b) => b["type"] === "tool_result").map((b) => String(b["tool_use_id"]));
    if (asked.some((id) => !given.includes(id))) return `messages.${i}: tool_use ids without tool_result blocks`;
    if (given.some((id) => !asked.includes(id))) return `messages.${i}: unexpected tool_use_id in tool_result`;
    asked = blocks.filter((b) => b["type"] === "tool_use").map((b) => String(b["id"]));
  }
  return null;
}

/** OpenAI's checks of the same kind. */
function openaiRefusal(req: IncomingMessage, body: Body): string | null {
  if (!/^Bearer \S+/.test(req.headers.authorization ?? "")) return "You didn't provide an API key.";
  if (typeof body["model"] !== "string") return "you must provide a model parameter";
  const messages = body["messages"] as Turn[] | undefined;
  if (!Array.isArray(messages) || messages.length === 0) return "[] is too short - 'messages'";
  const asked = new Set<string>();
  for (const [i, turn] of messages.entries()) {
    if (!["system", "developer", "user", "assistant", "tool"].includes(turn.role))
      return `messages.[${i}].role is invalid`;
    for (const call of (turn["tool_calls"] as { id: string }[] | undefined) ?? []) asked.add(call.id);
    if (turn.role === "tool" && !asked.delete(String(turn["tool_call_id"])))
      return `messages.[${i}]: 'tool' must be a response to a preceding message with 'tool_calls'`;
  }
  return asked.size > 0 ? "An assistant message with 'tool_calls' must be followed by tool messages" : null;
}

function toolNames(wire: LlmCall["wire"], body: Body): string[] {
  const tools = (body["tools"] as Body[] | undefined) ?? [];
  return tools.map((t) => String(wire === "anthropic" ? t["name"] : (t["function"] as Body | undefined)?.["name"]));
}

const ANTHROPIC_TYPES: Record<number, string> = {
  400: "invalid_request_error",
  401: "authentication_error",
  403: "permission_error",
  404: "not_found_error",
  413: "request_too_large",
  429: "rate_limit_error",
  529: "overloaded_error",
};

function failure(wire: LlmCall["wire"], status: number, message: string): Body {
  return wire === "anthropic"
    ? { type: "error", error: { type: ANTHROPIC_TYPES[status] ?? "api_error", message } }
    : { error: { message, type: "invalid_request_error", param: null, code: null } };
}

function json(res: ServerResponse, status: number, body: unknown, headers: Record<string, string> = {}): void {
  res.writeHead(status, { "content-type": "application/json", ...headers }).end(JSON.stringify(body));
}

async function readBody(req: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  for await (const part of req) parts.push(part as Buffer);
  return Buffer.concat(parts).toString("utf8");
}
