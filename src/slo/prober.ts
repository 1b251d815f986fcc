import { MINUTE, SECOND } from "../kernel/clock";
import type { Direction, ErrorClass } from "./types";

/**
 * One probe of a direction (wake-slo §6.2): open a session, send the ping, wait for its delivery, wait for the pong, always
 * close. Talks through ports alone; times are ms since the start, on the prober's own clock.
 */

/** What a tool said. `config`: it was refused for who or what we are (key, agent, address): no fault of the way. */
export type Said = { ok: true; value: Record<string, unknown> } | { ok: false; config: boolean; why: string };

/** A message in the probe's session, as inbox or hook show it. */
export interface Reply {
  id: string;
  body: string;
  /** Every name its sender goes by. */
  from: string[];
  error: boolean;
  /** Reveille ms when it arrived at a hook of ours; absent = when it was read. */
  seen_at?: number;
}

export interface ProbePorts {
  /** A tool of the peer. Never throws. */
  call(tool: string, args: Record<string, unknown>): Promise<Said>;
  /** The answer the prober's own hook took, by the probe's id. */
  sunk(): Promise<Reply | null>;
  /** When the responder's record says it took the ping up (Reveille ms) and what came of it; null = nobody tells. */
  claim(message_id: string): Promise<{ at: number | null; status: string | null } | null>;
  /** Keeps what is known so far, so that a pong can be matched to the probe. */
  note(seen: { session_id: string; message_id?: string }): Promise<void>;
  now(): number;
  sleep(ms: number): Promise<void>;
}

export interface Probe {
  id: string;
  direction: Direction;
  to_agent: string;
  /** Where the pong is read: at the prober's hook, or in the inbox of an identity nobody else uses. */
  pong: "hook" | "inbox";
  started_at: number;
}

export interface Outcome {
  session_id: string | null;
  message_id: string | null;
  wake_attempted: boolean;
  wake_ok: boolean;
  l1_ms: number | null;
  l2_ms: number | null;
  l3_ms: number | null;
  l4_ms: number | null;
  l2_known: boolean;
  level: 0 | 1 | 2 | 3 | 4;
  status: "ok" | "failed";
  error_class: ErrorClass | null;
  responder_status: string | null;
}

export const DELIVERY_LIMIT = MINUTE;
export const REPLY_LIMIT = 30 * SECOND;
const POLL = SECOND;

/** Topic and body of a probe, both of one instant. */
export const topicOf = (direction: Direction, at: number): string => `WAKE_SLO_PROBE_${direction}_${at}`;
export const pingAt = (at: number): string => `WAKE_SLO_PING ${new Date(at).toISOString()}`;
export const pongAt = (at: number): string => `WAKE_SLO_PONG ${new Date(at).toISOString()}`;

const text = (value: unknown): string | null => (typeof value === "string" && value !== "" ? value : null);
const object = (value: unknown): Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {};
/** A person's names: a peer writes a name, an id, or an object with both. */
const names = (...values: unknown[]): string[] =>
  values.flatMap((v) => text(v) ?? [object(v)["id"], object(v)["name"]]).filter((v) => text(v) !== null) as string[];

/** Replies of a session among the items of an inbox. */
export function repliesIn(value: Record<string, unknown>, session_id: string): Reply[] {
  const items = Array.isArray(value["items"]) ? value["items"] : [];
  return items
    .map(object)
    .filter((i) => i["session_id"] === session_id && (i["kind"] === "reply" || i["kind"] === undefined))
    .map((i) => ({
      id: text(i["id"]) ?? text(i["message_id"]) ?? "",
      body: text(i["body"]) ?? "",
      from: names(i["from"], i["from_agent_id"], i["from_agent"]),
      error: object(i["metadata"])["error"] === true,
    }));
}

/** The status of the ping's wake, as a repeated send tells it. */
export const wakeOf = (value: Record<string, unknown>): string | null => text(object(value["wake"])["status"]);

/** The class of a reply, in the order of wake-slo §6.2; null is a right pong. */
export function judgeReply(
  reply: Reply,
  expected: { body: string; from: ReadonlySet<string> },
): { error_class: ErrorClass | null; wrong_sender: boolean; wrong_key: boolean } {
  const wrong_sender = !reply.from.some((name) => expected.from.has(name.toLowerCase()));
  if (reply.error) return { error_class: "error_envelope", wrong_sender, wrong_key: false };
  const exact = reply.body === expected.body;
  return {
    error_class: exact && !wrong_sender ? null : "protocol_mismatch",
    wrong_sender,
    wrong_key: exact && wrong_sender,
  };
}

class Failed extends Error {
  constructor(readonly error_class: ErrorClass) {
    super(error_class);
  }
}

/** Runs one probe to its end. Never throws: what it can't explain is `unexplained_hang`. */
export async function runProbe(probe: Probe, ports: ProbePorts): Promise<Outcome> {
  const { started_at } = probe;
  const since = (at = ports.now()): number => Math.max(0, at - started_at);
  const out: Outcome = {
    session_id: null,
    message_id: null,
    wake_attempted: false,
    wake_ok: false,
    l1_ms: null,
    l2_ms: null,
    l3_ms: null,
    l4_ms: null,
    l2_known: false,
    level: 0,
    status: "failed",
    error_class: "unexplained_hang",
    responder_status: null,
  };
  try {
    await converse(probe, ports, out, since);
    out.error_class = null;
    out.status = "ok";
  } catch (error) {
    if (error instanceof Failed) out.error_class = error.error_class;
  }
  if (out.message_id !== null) {
    const claim = await ports.claim(out.message_id).catch(() => null);
    out.l2_known = claim !== null;
    if (claim?.at != null) out.l2_ms = since(claim.at);
    out.responder_status ??= claim?.status ?? null;
  }
  if (out.session_id !== null) {
    const reason = out.error_class === null ? "probe_ok" : `probe_failed:${out.error_class}`;
    const closed = await ports
      .call("agent_session_close", { session_id: out.session_id, reason })
      .catch((): Said => ({ ok: false, config: false, why: "" }));
    if (closed.ok && out.status === "ok") out.l4_ms = since();
  }
  const reached = [out.l4_ms, out.l3_ms, out.l2_ms, out.l1_ms].findIndex((ms) => ms !== null);
  out.level = reached < 0 ? 0 : ((4 - reached) as Outcome["level"]);
  return out;
}

async function converse(probe: Probe, ports: ProbePorts, out: Outcome, since: (at?: number) => number): Promise<void> {
  const { id, direction, to_agent, started_at } = probe;
  const topic = topicOf(direction, started_at);
  const created = await ports.call("agent_session_create", {
    topic,
    metadata: { probe: "wake_slo", direction },
    idempotency_key: `wake-slo-session:${id}`,
  });
  if (!created.ok) throw new Failed(created.config ? "config_error" : "wake_push_failed");
  const session_id = text(created.value["id"]) ?? text(created.value["session_id"]);
  if (session_id === null) throw new Failed("protocol_mismatch");
  out.session_id = session_id;
  await ports.note({ session_id });

  // The same arguments and key again are the peer's own way to tell how the wake stands.
  const send = (): Promise<Said> =>
    ports.call("agent_send", {
      to_agent,
      session_id,
      body: pingAt(started_at),
      kind: "request",
      idempotency_key: `wake-slo-probe:${id}`,
    });
  const sent = await send();
  if (!sent.ok) throw new Failed(sent.config ? "config_error" : "wake_push_failed");
  out.message_id = text(sent.value["id"]) ?? text(sent.value["message_id"]);
  if (out.message_id === null) throw new Failed("protocol_mismatch");
  await ports.note({ session_id, message_id: out.message_id });
  const from = new Set(names(to_agent, sent.value["to"]).map((n) => n.toLowerCase()));
  const expected = { body: pongAt(started_at), from };

  const inbox = async (status: "delivered" | "undelivered", limit: number): Promise<Reply | null> => {
    const read = await ports.call("agent_inbox", { status, limit });
    return read.ok ? (repliesIn(read.value, session_id).find((r) => r.id !== out.message_id) ?? null) : null;
  };
  const look = (): Promise<Reply | null> => (probe.pong === "hook" ? ports.sunk() : inbox("undelivered", 100));
  const accept = (reply: Reply): void => {
    const { error_class, wrong_sender, wrong_key } = judgeReply(reply, expected);
    if (wrong_key) out.responder_status = "wrong_identity_key";
    const at = since(reply.seen_at);
    // Whoever answers has been reached, even when no look fell between the two.
    if (!out.wake_ok && !wrong_sender) {
      out.wake_ok = true;
      out.l1_ms = at;
    }
    if (error_class !== null) throw new Failed(error_class);
    out.l3_ms = at;
  };

  const sentAt = ports.now();
  let wake = wakeOf(sent.value);
  let reply: Reply | null = null;
  for (;;) {
    out.wake_attempted ||= wake !== null && wake !== "queued" && wake !== "ignored";
    if (wake === "delivered") {
      out.wake_ok = true;
      out.l1_ms = since();
      break;
    }
    reply = await look();
    if (reply) return accept(reply);
    if (wake === "ignored" || (wake === null && sent.value["wake"] === null)) throw new Failed("wake_push_failed");
    if (ports.now() - sentAt >= DELIVERY_LIMIT)
      throw new Failed(wake === "failed" ? "wake_push_failed" : "ack_timeout");
    await ports.sleep(POLL);
    const again = await send();
    if (again.ok) wake = wakeOf(again.value) ?? wake;
  }
  const deliveredAt = ports.now();
  for (;;) {
    reply = await look();
    if (reply) return accept(reply);
    if (ports.now() - deliveredAt >= REPLY_LIMIT) break;
    await ports.sleep(POLL);
  }
  // What is delivered already costs nobody anything to read: an answer that is no pong went the normal way.
  const odd = await inbox("delivered", 100);
  if (odd) return accept(odd);
  throw new Failed("reply_timeout");
}
