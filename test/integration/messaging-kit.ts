import { env, exports } from "cloudflare:workers";

/** What tests of the embedded messaging share: agents made through the API, and tools called over /mcp as an agent would. */

export const OPERATOR = "test-operator-token-4f1c9b7e2a";
const BASE = "http://reveille.test";

export async function api<T>(method: string, path: string, body?: unknown): Promise<{ status: number; body: T }> {
  const response = await exports.default.fetch(`${BASE}/api/v1${path}`, {
    method,
    headers: { authorization: `Bearer ${OPERATOR}`, "content-type": "application/json" },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return { status: response.status, body: (await response.json()) as T };
}

export interface Agent {
  id: string;
  name: string;
  workspace: string;
  key: string;
  wake_secret: string | null;
}

/** A workspace nobody has used. */
export const newWorkspace = (): string => `w-${crypto.randomUUID().slice(0, 18)}`;

export async function newAgent(workspace: string, name: string, more: Record<string, unknown> = {}): Promise<Agent> {
  const made = await api<Agent>("POST", "/messaging/agents", { workspace, name, ...more });
  if (made.status !== 201) throw new Error(`agent ${name}: ${made.status} ${JSON.stringify(made.body)}`);
  return made.body;
}

const HEAD = { "content-type": "application/json", accept: "application/json, text/event-stream" };

/** A POST to /mcp. Header values of null are left out. */
export async function mcp(
  key: string | null,
  body: unknown,
  headers: Record<string, string | null> = {},
): Promise<{ status: number; text: string; headers: Headers }> {
  const all = { ...HEAD, ...(key === null ? {} : { authorization: `Bearer ${key}` }), ...headers };
  const set = Object.entries(all).filter((e): e is [string, string] => e[1] !== null);
  const response = await exports.default.fetch(`${BASE}/mcp`, {
    method: "POST",
    headers: set,
    body: typeof body === "string" ? body : JSON.stringify(body),
  });
  return { status: response.status, text: await response.text(), headers: response.headers };
}

/** The JSON-RPC messages of an event stream. */
export const events = (text: string): Record<string, unknown>[] =>
  text
    .split("\n\n")
    .filter((block) => block !== "")
    .map((block) => {
      const [event, data, ...rest] = block.split("\n");
      if (event !== "event: message" || !data?.startsWith("data: ") || rest.length > 0)
        throw new Error(`not an event: ${block.slice(0, 200)}`);
      return JSON.parse(data.slice(6)) as Record<string, unknown>;
    });

export interface Called {
  error: string | null;
  value: Record<string, unknown>;
}

/** Calls one tool; `error` is the text of a refusal. */
export async function call(key: string, name: string, args: Record<string, unknown> = {}): Promise<Called> {
  const id = crypto.randomUUID();
  const answer = await mcp(key, { jsonrpc: "2.0", id, method: "tools/call", params: { name, arguments: args } });
  if (answer.status !== 200) throw new Error(`${name}: HTTP ${answer.status} ${answer.text}`);
  const [message, ...more] = events(answer.text);
  if (message?.["id"] !== id || more.length > 0) throw new Error(`${name}: ${answer.text.slice(0, 300)}`);
  const result = message["result"] as { isError?: boolean; content: { text: string }[] };
  const text = result.content[0]!.text;
  return result.isError ? { error: text, value: {} } : { error: null, value: JSON.parse(text) };
}

/** The value of a call that must succeed. */
export async function ok(
  key: string,
  name: string,
  args: Record<string, unknown> = {},
): Promise<Record<string, unknown>> {
  const { error, value } = await call(key, name, args);
  if (error !== null) throw new Error(`${name}: ${error}`);
  return value;
}

export type Item = Record<string, unknown> & { id: string; session_id: string; body: string };
export const items = async (key: string, args: Record<string, unknown> = {}): Promise<Item[]> =>
  (await ok(key, "agent_inbox", args))["items"] as Item[];

export const workspaceStub = (workspace: string) => env.WORKSPACE.get(env.WORKSPACE.idFromName(workspace));

/** Waits until `good` holds, or says what was there instead. */
export async function until<T>(
  what: string,
  read: () => Promise<T>,
  good: (value: T) => boolean,
  ms = 5_000,
): Promise<T> {
  const end = Date.now() + ms;
  for (;;) {
    const value = await read();
    if (good(value)) return value;
    if (Date.now() > end) throw new Error(`${what}: last ${JSON.stringify(value).slice(0, 600)}`);
    await new Promise((r) => setTimeout(r, 20));
  }
}
