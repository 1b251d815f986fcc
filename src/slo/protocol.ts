import type { Partition, SloMessage, WakeItem } from "../hooks";
import { renderMessages } from "./render";
import type { Direction } from "./types";

/**
 * The probe protocol (wake-slo §2): which messages are pings, what their exact answer is, and how a wake that carries several
 * messages is divided so that no ordinary one is lost behind a probe. Pure. No pattern has a flag: a global one would keep its
 * place between calls.
 */

const PROBE_TOPIC = /^WAKE_SLO_PROBE_(C2L|L2C)_\d+$/;
const ISO = "\\d{4}-\\d{2}-\\d{2}T\\d{2}:\\d{2}:\\d{2}(?:\\.\\d+)?Z";
const PING = new RegExp(`^WAKE_SLO_PING (${ISO})$`);
const PONG = new RegExp(`^WAKE_SLO_PONG (${ISO})$`);

/** Most characters of a probe's topic and of its body. */
const MAX_TEXT = 64;
/** Most bytes of the payload that travels with a probe: as text inside a queue message of at most 128 KB it may double. */
export const MAX_PROBE_PAYLOAD = 48 * 1024;
/** Ids are ULIDs; a longer one than this is nobody's. */
const MAX_ID = 200;

const short = (text: unknown): text is string => typeof text === "string" && text.length <= MAX_TEXT;

/** The direction a probe's topic names, or null when it is no probe's. */
export const directionOf = (topic: unknown): Direction | null =>
  short(topic) ? ((PROBE_TOPIC.exec(topic)?.[1] as Direction | undefined) ?? null) : null;

/** The exact answer to a ping, its date byte for byte, or null when the text is no ping. */
export function pongFor(body: unknown): string | null {
  const at = short(body) ? PING.exec(body)?.[1] : undefined;
  return at === undefined ? null : `WAKE_SLO_PONG ${at}`;
}

/** True for the text of a pong, whatever ping it answers. */
export const isPong = (body: unknown): body is string => short(body) && PONG.test(body);

/** What of a hook decides whether a message is a probe. */
export interface ProbeGate {
  hook_id: string;
  mode: string;
  /** Whom the hook wakes, as its senders know it. */
  agent_id: string;
  agent_name: string;
}

type Payload = Record<string, unknown>;
/** A message as its sender wrote it. */
export type Item = Record<string, unknown>;

const isObject = (value: unknown): value is Item =>
  typeof value === "object" && value !== null && !Array.isArray(value);
const text = (value: unknown): value is string => typeof value === "string" && value !== "";

/** The gates of the whole payload (wake-slo §2): a hook in wake mode, the right event, and a wake of the hook's own agent. */
export function forUs(payload: Payload, gate: ProbeGate): boolean {
  if (gate.mode !== "wake" || payload["event_type"] !== "agentcomm_wake") return false;
  if (payload["to_agent_id"] !== undefined) return payload["to_agent_id"] === gate.agent_id;
  const name = payload["to_agent"];
  return text(name) && name.toLowerCase() === gate.agent_name.toLowerCase();
}

const id = (value: unknown): boolean => text(value) && value.length <= MAX_ID;
const hasIds = (item: Item): boolean => id(item["message_id"]) && id(item["session_id"]);
const isProbe = (item: Item): boolean =>
  directionOf(item["topic"]) !== null &&
  pongFor(item["body"]) !== null &&
  (item["kind"] === undefined || item["kind"] === "request") &&
  hasIds(item);
const looksLikePong = (item: Item): boolean =>
  directionOf(item["topic"]) !== null &&
  isPong(item["body"]) &&
  (item["kind"] === undefined || item["kind"] === "reply") &&
  hasIds(item);

const FIELDS = ["from_agent", "from_agent_id", "session_id", "message_id", "topic", "kind", "body", "created_at"];

/** Something with a topic or a body, of whatever type. What else stands in `messages` is no message. */
const readable = (value: unknown): value is Item =>
  isObject(value) && (value["body"] ?? value["topic"] ?? null) !== null;

const same = (a: Item, b: Item): boolean => ["message_id", "topic", "body"].every((f) => a[f] === b[f]);

const headOf = (payload: Payload): Item =>
  Object.fromEntries(FIELDS.filter((f) => payload[f] !== undefined).map((f) => [f, payload[f]]));

/**
 * The messages a payload carries, oldest first. The top level repeats one of them; where it does not, it is one itself. Without
 * a usable `messages` it is the only one.
 */
export function itemsOf(payload: Payload): Item[] {
  const given = payload["messages"];
  const batch = Array.isArray(given) ? given.filter(readable) : [];
  const head = headOf(payload);
  if (batch.length === 0) return [head];
  const alone = readable(head) && !batch.some((m) => same(m, head));
  return alone ? [...batch, head] : batch;
}

const optional = (item: Item, field: string): Record<string, string> =>
  typeof item[field] === "string" ? { [field]: item[field] } : {};

const words = (value: unknown): string =>
  typeof value === "string" ? value : value === undefined || value === null ? "" : JSON.stringify(value);

/** An item in the words of the contract; an id or an optional field of another type counts as absent. */
const asWake = (item: Item): WakeItem => ({
  message_id: text(item["message_id"]) ? item["message_id"] : "",
  session_id: text(item["session_id"]) ? item["session_id"] : "",
  topic: words(item["topic"]),
  body: words(item["body"]),
  ...optional(item, "from_agent"),
  ...optional(item, "from_agent_id"),
  ...optional(item, "kind"),
  ...optional(item, "created_at"),
});

/** The messages of a payload for whoever delivers it; empty when it is no agent's wake. */
export function messagesOf(payload: Payload): WakeItem[] {
  if (payload["event_type"] !== "agentcomm_wake") return [];
  return itemsOf(payload).filter(readable).map(asWake);
}

/**
 * The payload with `kept` as its only messages: count and text made anew, and the top level, where what it repeated is gone,
 * replaced by the newest. Everything else stays as the sender wrote it.
 */
export function withMessages(payload: Payload, kept: Item[]): Payload {
  const out: Payload = { ...payload };
  const newest = kept.at(-1)!;
  if (!kept.some((m) => same(m, payload)))
    for (const field of FIELDS) {
      if (newest[field] === undefined) delete out[field];
      else out[field] = newest[field];
    }
  return {
    ...out,
    message_count: kept.length,
    messages: kept,
    messages_text: renderMessages(kept.map(asWake)),
  };
}

const bytes = (value: unknown): number => new TextEncoder().encode(JSON.stringify(value)).length;

const KNOWN = ["event_type", "to_agent", "to_agent_id", "workspace_id"];

/** The payload with one probe, as text for queue `slo`; null when even its known fields are too long for one. */
function alone(payload: Payload, item: Item, whole: boolean): string | null {
  const only = whole ? payload : withMessages(payload, [item]);
  if (bytes(only) <= MAX_PROBE_PAYLOAD) return JSON.stringify(only);
  const pick = (from: Item, fields: string[]): Item =>
    Object.fromEntries(fields.filter((f) => from[f] !== undefined).map((f) => [f, from[f]]));
  const known = { ...pick(payload, KNOWN), ...pick(item, FIELDS) };
  return bytes(known) <= MAX_PROBE_PAYLOAD ? JSON.stringify(known) : null;
}

/** Pongs a payload may carry: whoever knows our own probes says which of them are (`partition`). */
export function pongCandidates(payload: Payload, gate: ProbeGate): WakeItem[] {
  return forUs(payload, gate) ? itemsOf(payload).filter(looksLikePong).map(asWake) : [];
}

/**
 * Divides a payload (wake-slo §2.1): probes for the responder, pongs of our own probes (`known`: their message ids), and the rest
 * for the normal way. Every message lands in exactly one of the three; a payload without probes is its own rest, unchanged.
 * `receivedAt` is wall ms.
 */
export function partition(
  payload: Payload,
  gate: ProbeGate,
  receivedAt: number,
  known: ReadonlySet<string> = new Set(),
): Partition {
  if (!forUs(payload, gate)) return { probes: [], rest: payload, pongs: [] };
  const items = itemsOf(payload);
  const probes: SloMessage[] = [];
  const pongs: WakeItem[] = [];
  const kept: Item[] = [];
  const seen = new Set<string>();
  for (const item of items) {
    const wake = asWake(item);
    if (looksLikePong(item) && known.has(wake.message_id)) {
      pongs.push(wake);
      continue;
    }
    const payloadText = isProbe(item) ? alone(payload, item, items.length === 1) : null;
    if (payloadText === null) {
      kept.push(item);
      continue;
    }
    const { message_id, session_id, topic, body } = wake;
    const key = JSON.stringify([message_id, session_id, topic, body]);
    // A probe that stands in a batch twice is asked once.
    if (seen.has(key)) continue;
    seen.add(key);
    probes.push({
      hook_id: gate.hook_id,
      agent_id: gate.agent_id,
      message_id,
      session_id,
      topic,
      body,
      received_at: receivedAt,
      payload: payloadText,
    });
  }
  if (kept.length === items.length) return { probes, rest: payload, pongs };
  return { probes, rest: kept.length === 0 ? null : withMessages(payload, kept), pongs };
}
