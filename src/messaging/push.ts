import { type AllowEntry, guardedFetch } from "../kernel/net-guard";
import type { Runtime } from "../kernel/runtime";
import { open, sealKeys } from "../vault";
import { readEnds } from "./agents.store";
import type { MessageRow } from "./types";
import { refusedBy, wakePayload, wakeRequest } from "./wake";

/** One attempt to wake a recipient (wake-slo §1.2). */

/** Where an agent's wake secret is sealed to. */
export const wakePlace = (agentId: string): string => `msg_agent:${agentId}:wake`;

/** Mail that a hook put in carries its hook as sender: it is no agent's, and nobody answers for it. */
export const HOOK_SENDER = "hook:";

export type Pushed =
  | { result: "accepted"; ids: string[] }
  /** Nobody is to be woken, now or later. */
  | { result: "ignored"; why: string }
  | { result: "failed"; why: string }
  /** Read in the inbox meanwhile. */
  | { result: "gone" };

export interface PushDeps {
  db: D1Database;
  runtime: Runtime;
  workspace: string;
  /** What the push carries, read when it leaves; empty when the event's message was delivered meanwhile. */
  batch(): MessageRow[];
  /** Wall ms of one attempt, answer included; 5 s unless a test says so. */
  timeout?: number;
  /** Our own front door: a Worker must not fetch its own address over the network. */
  self(request: Request): Promise<Response>;
}

/**
 * The path of a wake URL that is a hook of this Reveille, or null. Such a wake passes the hook's own checks without leaving
 * the Worker (docs/messaging.md).
 */
export function ownHook(url: string, publicUrl: string): string | null {
  if (/^\/hooks\/[^/?#]+$/.test(url)) return url;
  if (!URL.canParse(url) || !URL.canParse(publicUrl)) return null;
  const { origin, pathname, search } = new URL(url);
  const own = new URL(publicUrl);
  const base = own.pathname.replace(/\/+$/, "");
  const path = pathname.startsWith(base) ? pathname.slice(base.length) : "";
  return origin === own.origin && search === "" && /^\/hooks\/[^/]+$/.test(path) ? path : null;
}

/** Tries once. Never throws: what goes wrong is a failed attempt. `head` is the id of the event's message. */
export async function pushOnce(deps: PushDeps, head: string, to: string): Promise<Pushed> {
  try {
    return await push(deps, head, to);
  } catch (error) {
    const name = error instanceof Error ? error.name : "";
    const timeout = name === "TimeoutError" || name === "AbortError";
    return { result: "failed", why: timeout ? "timeout" : why(deps.runtime, error) };
  }
}

const why = (runtime: Runtime, error: unknown): string =>
  runtime.redact.text(error instanceof Error ? error.message : String(error)).slice(0, 200);

async function push(deps: PushDeps, head: string, to: string): Promise<Pushed> {
  const { db, runtime, workspace } = deps;
  const keys = await sealKeys(runtime.vars, "REVEILLE_HOOK_KEY");
  const first = deps.batch().find((m) => m.id === head);
  if (!first) return { result: "gone" };
  const ends = await readEnds(db, [to, first.from_id]);
  const recipient = ends.get(to);
  const sender = ends.get(first.from_id);
  if (recipient?.active !== 1) return { result: "ignored", why: "recipient_inactive" };
  if (!first.from_id.startsWith(HOOK_SENDER) && sender?.active !== 1)
    return { result: "ignored", why: "sender_inactive" };
  if (recipient.wake_url === null || recipient.wake_secret === null) return { result: "ignored", why: "no_webhook" };
  const secret = await open(keys, wakePlace(to), recipient.wake_secret);
  const batch = deps.batch();
  const now = batch.find((m) => m.id === head);
  if (!now) return { result: "gone" };
  const target = { url: recipient.wake_url, auth: recipient.wake_auth, secret };
  const init = await wakeRequest(target, wakePayload(workspace, now, batch), deps.timeout);
  const response = await send(deps, target.url, init, runtime.config.allowPrivate);
  const refused = await refusedBy(response);
  if (refused !== null) return { result: "failed", why: refused };
  return { result: "accepted", ids: batch.map((m) => m.id) };
}

async function send(deps: PushDeps, url: string, init: RequestInit, allow: AllowEntry[]): Promise<Response> {
  const path = ownHook(url, deps.runtime.config.publicUrl);
  if (path !== null) return deps.self(new Request(new URL(path, "http://reveille.internal"), init));
  return (await guardedFetch(new URL(url), { ...init, follow: false }, allow)).response;
}
