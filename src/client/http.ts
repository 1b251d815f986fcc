import { lastMsgId, move, type Seq } from "./cursor";
import { ClientError } from "./errors";
import type { Frame } from "./events";
import { type Identity, signedHeaders } from "./identity";
import { readFrame } from "./line";
import { backoff } from "./recovery";

/** The newest run of a session as `GET /sessions/{id}` tells its owner. */
export interface SessionRecord {
  session_id: string;
  status: "running" | "waiting_approval" | "done" | "failed" | "interrupted" | "connected";
  result: unknown;
  input_id?: string | null;
  duration_ms: number | null;
}

export interface Http {
  /** `https://host`, without a slash at its end. */
  base: string;
  who: Identity;
  fetch: typeof fetch;
}

const REQUEST_TIMEOUT_MS = 10_000;

async function get(http: Http, path: string, init: RequestInit): Promise<Response> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await http.fetch(http.base + path, init);
    } catch (error) {
      // A connection that was kept open may have died unnoticed; a fresh one tells whether the host has.
      if (attempt === 2 || init.signal?.aborted)
        throw new ClientError("unreachable", `${http.base}${path} can't be reached: ${String(error)}`);
    }
  }
}

const withTimeout = (): { signal: AbortSignal } => ({ signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS) });

/** The address of the host's own agent; null: it has none. @throws ClientError `unreachable`. */
export async function ownAgent(http: Omit<Http, "who">): Promise<string | null> {
  const response = await get(http as Http, "/info", withTimeout());
  const body = (await response.json().catch(() => null)) as { address?: unknown } | null;
  return response.ok && typeof body?.address === "string" ? body.address : null;
}

/** The record of a session, for its owner; null: unknown, another's or expired. @throws ClientError. */
export async function readRecord(http: Http, sessionId: string): Promise<SessionRecord | null> {
  const path = `/sessions/${encodeURIComponent(sessionId)}`;
  const response = await get(http, path, {
    headers: await signedHeaders(http.who, path, Date.now()),
    ...withTimeout(),
  });
  if (response.status === 404) return null;
  if (!response.ok) throw await refusal(response);
  return (await response.json()) as SessionRecord;
}

async function refusal(response: Response): Promise<ClientError> {
  const body = (await response.json().catch(() => null)) as { error?: unknown } | null;
  const words = typeof body?.error === "string" ? body.error : `HTTP ${response.status}`;
  if (response.status === 401) return new ClientError("unauthorized", words);
  if (response.status === 403) return new ClientError("forbidden", words);
  if (response.status === 429) return new ClientError("rate_limited", words);
  return new ClientError("unreachable", words);
}

/**
 * The event log of a session after a cursor, then what happens: Server-Sent Events, connected again by the cursor for as long as
 * somebody iterates. Ends of runs (OUTPUT, ERROR) are in it, and a `gap` where the log does not reach back.
 * @throws ClientError `run_unknown` when the session is not ours or unknown, or what the host refuses.
 */
export async function* readEvents(
  http: Http,
  sessionId: string,
  after: Seq,
  signal?: AbortSignal,
): AsyncGenerator<Frame, void, undefined> {
  const path = `/sessions/${encodeURIComponent(sessionId)}/events`;
  let at = after;
  for (let failed = 0; !signal?.aborted; ) {
    try {
      const cursor = lastMsgId(at);
      const response = await get(
        http,
        cursor === undefined ? path : `${path}?last_msg_id=${encodeURIComponent(cursor)}`,
        {
          headers: await signedHeaders(http.who, path, Date.now()),
          ...(signal ? { signal } : {}),
        },
      );
      if (response.status === 404) throw new ClientError("run_unknown", "no such session, or not ours");
      if (!response.ok || !response.body) throw await refusal(response);
      for await (const frame of frames(response.body)) {
        failed = 0;
        const moved = move(at, frame);
        at = moved.seq;
        if (!moved.again) yield frame;
      }
    } catch (error) {
      if (signal?.aborted) return;
      if (error instanceof ClientError && !error.retryable) throw error;
    }
    await new Promise((wake) => setTimeout(wake, backoff(++failed, Math.random())));
  }
}

/** Frames in the `data:` lines of an event stream. */
async function* frames(body: ReadableStream<Uint8Array>): AsyncGenerator<Frame, void, undefined> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const blocks = (rest + decoder.decode(value, { stream: true })).split("\n\n");
      rest = blocks.pop()!;
      for (const block of blocks) {
        const data = block.split("\n").flatMap((line) => (line.startsWith("data: ") ? [line.slice(6)] : []));
        const frame = data.length > 0 ? readFrame(data.join("\n")) : null;
        if (frame) yield frame;
      }
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
}
