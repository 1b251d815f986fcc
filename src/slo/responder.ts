import type { SloMessage } from "../hooks";
import { HOUR } from "../kernel/clock";
import { sha256Hex } from "../kernel/crypto";
import { badRequest, clip, describe } from "../kernel/errors";
import { isPrivateHost } from "../kernel/net-guard";
import { makeRedactor, type Redactor } from "../kernel/redact";
import type { KeyAnswer } from "./keys";
import type { ToolAnswer, ToolCall } from "./mcp-call";
import { directionOf, forUs, pongFor } from "./protocol";
import type { AckMode, ResponderStatus } from "./types";

/**
 * The answer to a probe, by the one it was sent to (wake-slo §2, §3, §5): gates, key, `agent_ack`, `agent_reply`. It knows no
 * model, retries nothing (that would hide the outage being measured) and never throws.
 */

/** How long an endpoint that has no `agent_ack` is not asked for it. Wall ms. */
export const NO_ACK_FOR = HOUR;

/** What of the probe's hook matters here. */
export interface Responder {
  mode: string;
  enabled: boolean;
  agent_id: string;
  agent_name: string;
  answering: boolean;
  ack_mode: AckMode;
  extended_reply: boolean;
  /** The peer's `/mcp` (`endpointOf`). */
  endpoint: () => URL;
  key: () => Promise<KeyAnswer>;
}

export interface ResponderPorts {
  call: (ask: ToolCall) => Promise<ToolAnswer>;
  /** Writes that the ack is done. False: the probe is another run's by now. */
  acked: () => Promise<boolean>;
  redact: Redactor;
}

export interface Progress {
  acked: boolean;
  /** This endpoint had no `agent_ack` a short while ago. */
  skip_ack: boolean;
}

/** `lost`: another run has taken the probe over, so nothing is to be done here. */
export type Responded =
  | { status: "ok"; no_ack: boolean }
  | { status: Exclude<ResponderStatus, "ok">; detail: string }
  | { status: "lost" };

/** Is this URL of our own origin? What is never sent over a network needs no guard. */
export const isOwnUrl = (url: URL, publicUrl: string): boolean =>
  URL.canParse(publicUrl) && url.origin === new URL(publicUrl).origin;

/** The URL of the peer's tools, from its base. @throws ReveilleError 400 when the agent's key must not go there. */
export function endpointOf(peer: string, publicUrl = ""): URL {
  const base = peer.trim().replace(/\/+$/, "");
  if (!URL.canParse(base)) throw badRequest("bad_url", "The peer's URL is no absolute URL.", "peer_url");
  const url = new URL(base.endsWith("/mcp") ? base : `${base}/mcp`);
  if (url.protocol === "http:" && !isPrivateHost(url.hostname) && !isOwnUrl(url, publicUrl))
    throw badRequest("insecure_url", "The peer gets the agent's key, so it must be reached over https.", "peer_url");
  return url;
}

/** Answers one probe. Whatever it says but `ok` and `lost` means: the probe goes the normal way. Never throws. */
export async function respond(
  probe: SloMessage,
  hook: Responder | null,
  progress: Progress,
  ports: ResponderPorts,
): Promise<Responded> {
  let key = "";
  const failed = (status: Exclude<ResponderStatus, "ok">, detail: string): Responded => ({
    status,
    detail: clip(hide(ports.redact, key, detail), 200),
  });
  try {
    const refused = gate(probe, hook);
    if (refused) return failed(...refused);
    const found = await hook!.key();
    if (found.key === null) return failed("error:no_api_key", found.why);
    key = found.key;
    return await exchange(probe, hook!, key, progress, ports, failed);
  } catch (error) {
    return failed("error:exception", describe(error));
  }
}

/** The gates again: the hook may have changed since, and a queue is a border (wake-slo §2). */
function gate(probe: SloMessage, hook: Responder | null): [Exclude<ResponderStatus, "ok">, string] | null {
  if (!hook) return ["error:disabled", "the hook is gone"];
  if (!hook.enabled || !hook.answering || hook.mode !== "wake") return ["error:disabled", "answering is off"];
  if (hook.agent_id !== probe.agent_id) return ["error:recipient_mismatch", "the hook wakes another agent now"];
  const ids = { hook_id: probe.hook_id, mode: hook.mode, agent_id: hook.agent_id, agent_name: hook.agent_name };
  const payload: unknown = JSON.parse(probe.payload);
  if (typeof payload !== "object" || payload === null || !forUs(payload as Record<string, unknown>, ids))
    return ["error:recipient_mismatch", "the wake names another agent"];
  if (directionOf(probe.topic) === null || pongFor(probe.body) === null)
    return ["error:body_regex_mismatch", "topic or body is no probe's"];
  if (probe.message_id === "" || probe.session_id === "")
    return ["error:missing_ids", "message_id or session_id is empty"];
  return null;
}

async function exchange(
  probe: SloMessage,
  hook: Responder,
  key: string,
  progress: Progress,
  ports: ResponderPorts,
  failed: (status: Exclude<ResponderStatus, "ok">, detail: string) => Responded,
): Promise<Responded> {
  const url = hook.endpoint();
  let noAck = false;
  if (!progress.acked && hook.ack_mode !== "off" && !(hook.ack_mode === "auto" && progress.skip_ack)) {
    const args = { message_id: probe.message_id, status: "auto_pong" };
    const ack = await ports.call({ url, key, tool: "agent_ack", args });
    noAck = !ack.ok && hook.ack_mode === "auto" && isMissing(ack);
    if (!ack.ok && !noAck) return failed(statusOf(ack, "error:ack_failed"), ack.detail);
    if (ack.ok && !(await ports.acked())) return { status: "lost" };
  }
  const reply = await ports.call({ url, key, tool: "agent_reply", args: await replyOf(probe, hook.extended_reply) });
  if (!reply.ok) return failed(statusOf(reply, "error:reply_failed"), reply.detail);
  return { status: "ok", no_ack: noAck };
}

async function replyOf(probe: SloMessage, extended: boolean): Promise<Record<string, unknown>> {
  const plain = { session_id: probe.session_id, body: pongFor(probe.body), close: true };
  if (!extended) return plain;
  // The same key for every try of this probe, whoever makes it; at most 128 of A-Za-z0-9._:-
  const named = /^[A-Za-z0-9._:-]{1,110}$/.test(probe.message_id)
    ? probe.message_id
    : await sha256Hex(probe.message_id);
  return { ...plain, reply_to_message_id: probe.message_id, idempotency_key: `wake-slo:${named}` };
}

type Failed = Extract<ToolAnswer, { ok: false }>;

const isMissing = (answer: Failed): boolean =>
  answer.why === "refused" && /\btool agent_ack not found\b/i.test(answer.detail);

const statusOf = (
  answer: Failed,
  refused: "error:ack_failed" | "error:reply_failed",
): Exclude<ResponderStatus, "ok"> => (answer.why === "refused" ? refused : `error:${answer.why}`);

/** A peer may quote the key it was given, or another one: neither gets into a row or a log. */
function hide(redact: Redactor, key: string, text: string): string {
  // Cut first: a peer's text may have a megabyte, and no form of a key is hidden any slower in a short one.
  const short = text.slice(0, 4_000).toWellFormed();
  const own = key === "" ? short : makeRedactor([key]).text(short);
  const plain = redact.text(own).replace(/\bq_[A-Za-z0-9_-]{20,}/g, "<REDACTED>");
  return plain.replace(/[\p{Cc}\u2028\u2029]+/gu, " ");
}
