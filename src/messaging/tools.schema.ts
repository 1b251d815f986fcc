import * as z from "zod";
import { IDEMPOTENCY_KEY, MAX_BODY, MAX_REASON, MAX_TOPIC } from "./rules";
import { KINDS } from "./types";

/** Arguments of the agent tools (wake-slo §3.2). What else a caller sends is dropped, as the peers do. */

const id = z.string().min(1).max(100);
const agent = z.string().min(1).max(200).describe("Id or name of an agent");
const body = z.string().min(1).max(MAX_BODY);
const topic = z.string().min(1).max(MAX_TOPIC);
const metadata = z.record(z.string(), z.unknown()).describe("At most 16384 bytes of JSON").optional();
const idempotency_key = z
  .string()
  .regex(IDEMPOTENCY_KEY)
  .describe("A repeated call with the same key returns the first result")
  .optional();
const limit = z.int().min(1).max(100).optional();

export const sendArgs = z.object({
  to_agent: agent,
  body,
  session_id: id.optional(),
  topic: topic.optional(),
  metadata,
  kind: z.enum(KINDS).optional(),
  parent_message_id: id.optional(),
  idempotency_key,
});
export const replyArgs = z.object({
  session_id: id,
  body,
  to_agent: agent.optional(),
  reply_to_message_id: id.optional(),
  metadata,
  close: z.boolean().optional(),
  idempotency_key,
});
export const inboxArgs = z.object({ status: z.enum(["delivered", "undelivered"]).optional(), limit });
export const createArgs = z.object({
  topic,
  to_agent: agent.optional(),
  message: body.optional(),
  metadata,
  idempotency_key,
});
export const closeArgs = z.object({ session_id: id, reason: z.string().max(MAX_REASON).optional() });
export const statusArgs = z.object({ agent: agent.optional(), limit });
export const ackArgs = z.object({ message_id: id, status: z.string().min(1).max(128).optional() });

export type SendArgs = z.infer<typeof sendArgs>;
export type ReplyArgs = z.infer<typeof replyArgs>;
export type InboxArgs = z.infer<typeof inboxArgs>;
export type CreateArgs = z.infer<typeof createArgs>;
export type CloseArgs = z.infer<typeof closeArgs>;
export type StatusArgs = z.infer<typeof statusArgs>;
export type AckArgs = z.infer<typeof ackArgs>;
