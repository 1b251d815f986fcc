import { type IdemRow, type Recipient, ToolFault } from "./types";

/** What may be said, to whom, and how often (wake-slo §3.2, §7.2). Pure. */

export const MAX_BODY = 50_000;
export const MAX_TOPIC = 500;
export const MAX_METADATA = 16_384;
export const MAX_REASON = 1_000;
export const IDEMPOTENCY_KEY = /^[A-Za-z0-9._:-]{1,128}$/;

/** Texts that look like a key: agents' own, and those of the usual vendors. Said by mistake, they would lie in a mailbox for good. */
const KEY_LIKE = [
  /(?<![A-Za-z0-9_-])q_[A-Za-z0-9_-]{40,}/,
  /\bsk-[A-Za-z0-9_-]{20,}/,
  /\bxox[abeoprs]-[A-Za-z0-9-]{10,}/,
  /\bgh[opsur]_[A-Za-z0-9]{30,}/,
  /\bgithub_pat_[A-Za-z0-9_]{30,}/,
  /\bglpat-[A-Za-z0-9_-]{20,}/,
  /\bAKIA[A-Z0-9]{16}\b/,
  /\bAIza[A-Za-z0-9_-]{35}/,
  /\bsb_(?:secret|publishable)_[A-Za-z0-9_-]{10,}/,
  /\bFlyV1\s+[A-Za-z0-9_,=+/-]{16,}/,
  /\beyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}/,
  /-----BEGIN [A-Z ]*PRIVATE KEY-----/,
];

export const looksLikeKey = (text: string): boolean => KEY_LIKE.some((shape) => shape.test(text));

function noKey(field: string, text: string): string {
  if (looksLikeKey(text))
    throw new ToolFault("INVALID_INPUT", `${field} contains what looks like an API key; take it out`);
  return text;
}

/** One line: control and line-separator characters become one space. @throws ToolFault */
export function cleanTopic(topic: string): string {
  const text = topic.replace(/[\p{Cc}\u2028\u2029]+/gu, " ").trim();
  if (text === "" || text.length > MAX_TOPIC)
    throw new ToolFault("INVALID_INPUT", `topic must have 1 to ${MAX_TOPIC} characters, has ${text.length}`);
  return noKey("topic", text);
}

/** @throws ToolFault */
export function cleanBody(body: string): string {
  const text = body.trim();
  if (text === "" || text.length > MAX_BODY)
    throw new ToolFault("INVALID_INPUT", `body must have 1 to ${MAX_BODY} characters, has ${text.length}`);
  return noKey("body", text);
}

/** @throws ToolFault */
export function cleanReason(reason: string | undefined): string | null {
  const text = reason?.trim();
  return text ? noKey("reason", text.slice(0, MAX_REASON)) : null;
}

/** The JSON of a metadata object, keys in order so that equal ones compare equal. @throws ToolFault */
export function cleanMetadata(metadata: Record<string, unknown> | undefined): string | null {
  if (metadata === undefined) return null;
  const text = canonical(metadata);
  const size = new TextEncoder().encode(text).length;
  if (size > MAX_METADATA)
    throw new ToolFault("INVALID_INPUT", `metadata has ${size} bytes of JSON; ${MAX_METADATA} is the most`);
  return noKey("metadata", text);
}

/** JSON with the keys of every object sorted. */
function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map((v) => canonical(v ?? null)).join(",")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value) ?? "null";
  const parts = Object.entries(value)
    .filter(([, v]) => v !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([k, v]) => `${JSON.stringify(k)}:${canonical(v)}`);
  return `{${parts.join(",")}}`;
}

/** What an idempotency key stands for: everything that was asked but the recipient, which may be written in several ways. */
export interface Content {
  tool: "agent_send" | "agent_reply" | "agent_session_create";
  session: string | null;
  topic: string | null;
  kind: string | null;
  body: string | null;
  metadata: string | null;
  parent: string | null;
  close: boolean;
}

/** Sixteen of 50,000 characters would cost as much as the messages themselves, so the body goes in as its hash. */
export async function contentKey(content: Content): Promise<string> {
  const bytes = new TextEncoder().encode(canonical(content));
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return `${content.tool}:${Array.from(hash, (b) => b.toString(16).padStart(2, "0")).join("")}`;
}

/**
 * A key that was used before: passes when the same was asked, so that the stored result is the answer whatever has happened
 * since. @throws ToolFault CONFLICT
 */
export function sameRequest(found: IdemRow, content: string, asked: string | null): void {
  const recipient =
    asked === null || found.asked === null
      ? asked === found.asked
      : [found.asked, found.to_id, found.to_name].includes(asked);
  if (found.content !== content || !recipient)
    throw new ToolFault("CONFLICT", "idempotency_key was already used for another request; take a new one");
}

/**
 * The recipient a sender means: by exact id, exact name, or the one name that differs in case alone. `candidates` are the active
 * agents whose id or name matches without case. @throws ToolFault NOT_FOUND, CONFLICT
 */
export function pickRecipient(asked: string, candidates: readonly Recipient[]): Recipient {
  const exact = candidates.find((a) => a.id === asked);
  if (exact) return exact;
  const named = candidates.filter((a) => a.name === asked);
  const folded = candidates.filter((a) => a.name.toLowerCase() === asked.toLowerCase());
  const found = named.length > 0 ? named : folded;
  if (found.length > 1)
    throw new ToolFault("CONFLICT", `"${asked.slice(0, 80)}" means ${found.length} agents; give the id of one`);
  if (!found[0]) throw new ToolFault("NOT_FOUND", `no active agent "${asked.slice(0, 80)}" in this workspace`);
  return found[0];
}

/** What decides whom a reply goes to. */
export interface ReplyFacts {
  me: string;
  /** The asked recipient, resolved, or null. */
  asked: string | null;
  /** Sender of the newest message of the session that is not mine, or null. */
  newest_other: string | null;
  creator: string;
  /** Sender of the message that is replied to, or null. */
  parent_sender: string | null;
}

/** The id a reply goes to; a named message pins it to the one who asked (wake-slo §7.2). */
export function replyTarget(facts: ReplyFacts): string {
  const { me, asked, newest_other, creator, parent_sender } = facts;
  const target = asked ?? newest_other ?? creator;
  return parent_sender !== null && parent_sender !== me && parent_sender !== target ? parent_sender : target;
}

/** ISO 8601 with whole seconds, as the peers write `created_at`. */
export const isoSeconds = (ms: number): string => new Date(ms).toISOString().replace(/\.\d{3}Z$/, "Z");
