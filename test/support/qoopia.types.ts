/** How the stand-in of a Qoopia behaves, and what it tells (qoopia.ts). */

export type QoopiaMode =
  | "ok"
  /** Plain JSON instead of an event stream. */
  | "json"
  /** Headers and half an event, then nothing. */
  | "stall"
  /** Nothing at all. */
  | "hang"
  | "redirect"
  | "oversize"
  /** The stream ends inside an event. */
  | "half"
  | "500"
  | "401"
  /** 200 with something that is no JSON-RPC. */
  | "garbage"
  /** Another request's id. */
  | "wrong_id"
  /** The body in pieces of one byte. */
  | "bytes"
  /** Repeats the caller's key in its refusal. */
  | "leak"
  /** 202 and no body. */
  | "accepted"
  /** The connection breaks once the tool has run. */
  | "cut";

export interface QoopiaControl {
  mode?: QoopiaMode;
  /** Only calls of this tool behave so. */
  only?: "agent_ack" | "agent_reply" | null;
  era?: "ack" | "messenger";
  /** isError of a tool with this text. */
  refuse?: Partial<Record<"agent_ack" | "agent_reply", string>>;
  /** Bearer keys and whose they are; a steward is nobody's recipient. */
  keys?: Record<string, string>;
  /** Messages that exist: id to session and recipient. */
  messages?: { id: string; session: string; from: string; to: string }[];
  /** Answers of `agent_reply` come after this long, ms. */
  delay?: number;
}

export interface QoopiaLedger {
  /** HTTP requests of any kind. */
  requests: number;
  /** Tool calls in order, with who made them. */
  calls: { tool: string; by: string | null; args: Record<string, unknown>; at: number }[];
  acks: Record<string, number>;
  /** Replies that were stored. */
  pongs: { session: string; body: string; by: string; key: string | null }[];
  deduplicated: number;
  closed: string[];
  unauthorised: number;
}
