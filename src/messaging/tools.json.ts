import { IDEMPOTENCY_KEY, MAX_BODY, MAX_REASON, MAX_TOPIC } from "./rules";
import { KINDS } from "./types";

/**
 * The arguments of the agent tools as JSON Schema, for tools/list. Written out, because the writer that zod has for them is 6 KiB
 * of the edge; a test holds each to what it would write of tools.schema.ts.
 */

export type JsonSchema = Record<string, unknown>;

/** An object schema in the words zod uses. */
export const objectSchema = (properties: JsonSchema, required: string[] = []): JsonSchema => ({
  $schema: "https://json-schema.org/draft/2020-12/schema",
  type: "object",
  properties,
  ...(required.length > 0 ? { required } : {}),
});

export const text = (maxLength: number, more: JsonSchema = {}): JsonSchema => ({
  type: "string",
  minLength: 1,
  maxLength,
  ...more,
});
export const whole = (minimum: number, maximum: number): JsonSchema => ({ type: "integer", minimum, maximum });

const id = text(100);
const agent = text(200, { description: "Id or name of an agent" });
const body = text(MAX_BODY);
const topic = text(MAX_TOPIC);
const metadata = {
  type: "object",
  propertyNames: { type: "string" },
  additionalProperties: {},
  description: "At most 16384 bytes of JSON",
};
const idempotency_key = {
  type: "string",
  pattern: IDEMPOTENCY_KEY.source,
  description: "A repeated call with the same key returns the first result",
};
const limit = whole(1, 100);

export const SCHEMAS = {
  agent_send: objectSchema(
    {
      to_agent: agent,
      body,
      session_id: id,
      topic,
      metadata,
      kind: { type: "string", enum: [...KINDS] },
      parent_message_id: id,
      idempotency_key,
    },
    ["to_agent", "body"],
  ),
  agent_reply: objectSchema(
    {
      session_id: id,
      body,
      to_agent: agent,
      reply_to_message_id: id,
      metadata,
      close: { type: "boolean" },
      idempotency_key,
    },
    ["session_id", "body"],
  ),
  agent_inbox: objectSchema({ status: { type: "string", enum: ["delivered", "undelivered"] }, limit }),
  agent_session_create: objectSchema({ topic, to_agent: agent, message: body, metadata, idempotency_key }, ["topic"]),
  agent_session_close: objectSchema({ session_id: id, reason: { type: "string", maxLength: MAX_REASON } }, [
    "session_id",
  ]),
  agent_status: objectSchema({ agent, limit }),
  agent_ack: objectSchema({ message_id: id, status: text(128) }, ["message_id"]),
} satisfies Record<string, JsonSchema>;
