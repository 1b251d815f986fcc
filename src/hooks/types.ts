import type { PlatformName } from "../platform";

/** What the parts of a wake hand each other: the hook, the queues, the recipients (wake-slo §1.3, design §4.4). */

/** Where a real message goes. */
export type Recipient =
  | { kind: "builtin" }
  | {
      kind: "gateway";
      tenant: string;
      instance: string;
      platform: PlatformName;
      chat_id: string;
      user_id: string;
      scope_id?: string;
    }
  | { kind: "agent"; address: string }
  | { kind: "webhook"; url: string }
  | { kind: "mail"; workspace: string; agent_id: string };

/** A message of a wake, as senders write it. Whatever else stands in a payload is kept and never read. */
export interface WakeItem {
  message_id: string;
  session_id: string;
  from_agent?: string;
  from_agent_id?: string;
  topic: string;
  kind?: string;
  body: string;
  created_at?: string;
}

/** Queue `slo`: one probe for the responder. No key, no secret. */
export interface SloMessage {
  hook_id: string;
  agent_id: string;
  message_id: string;
  session_id: string;
  topic: string;
  body: string;
  /** Wall ms. */
  received_at: number;
  /** The payload with this probe as its only message: what falls through when the answer fails. JSON text, at most 64 KB. */
  payload: string;
}

/** What the hook's ingress makes of a payload (wake-slo §2.1). */
export interface Partition {
  probes: SloMessage[];
  /** The payload with its probes taken out, or null when nothing is left. */
  rest: Record<string, unknown> | null;
  /** Pongs of our own probes: recorded, never told to a model. */
  pongs: WakeItem[];
}
