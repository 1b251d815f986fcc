import type { Runtime } from "../kernel/runtime";

/** Every way an operator can be told. `inbox` is D1 and always on; the rest are pushed in the configured order. */
export type ChannelName = "inbox" | "slack" | "telegram" | "webhook" | "email";

export type NoticeEvent =
  | "opened"
  | "raised"
  | "recovered"
  | "flapping"
  | "settled"
  | "reminder"
  | "acked"
  | "snoozed"
  | "blind"
  | "summary"
  | "digest"
  | "budget"
  | "undelivered"
  | "test"
  | "explained"
  | "approval"
  | "fix"
  | "answer";

/** A notice in words; each channel only formats it. Limits: title ≤ 80 characters, body ≤ 400 (operator-experience §3). */
export interface Notice {
  id: string;
  event: NoticeEvent;
  severity: "critical" | "warning" | "info";
  /** First line with its state sign, e.g. "■ Down: fly-web, no serving machine". */
  title: string;
  body: string;
  /** Vendor text to be shown as code, never rendered; may be empty. */
  quote: string;
  incident_id: string | null;
  target_id: string | null;
  /** Link to the incident (or page) for a person. */
  url: string;
  rehearsal: boolean;
  /** Buttons; each carries only an opaque action id. Empty for none. */
  actions: { label: string; id: string }[];
  at: number;
}

/** How a channel is asked to deliver. */
export interface Outgoing {
  notice: Notice;
  /** The incident's thread in this channel (what `send` returned for its first notice), or null to start one. */
  thread: string | null;
  /** Show the message in the channel as well as the thread (recoveries). */
  broadcast: boolean;
  /** The same for every try of one notice on one channel, so that a receiver can drop a repeat. */
  idempotency_key: string;
}

export type SendResult =
  | { ok: true; ref: string | null }
  | {
      ok: false;
      /** One redacted line: the channel's own answer. */
      error: string;
      /** false: trying again can't help (wrong token, unknown chat). */
      retryable: boolean;
      retry_after_ms?: number;
      /** true: the call may have been applied (timeout after sending). */
      ambiguous?: boolean;
    };

export interface Channel {
  name: ChannelName;
  /** Names of the variables that are missing; empty = configured. */
  missing(runtime: Runtime): string[];
  /** Delivers one notice. Never throws; at most 10 s. `ref` is the id that later notices use as `thread`. */
  send(runtime: Runtime, out: Outgoing): Promise<SendResult>;
  /** Rewrites the root message of an incident (state first, buttons as given). Channels without editing leave it out. */
  edit?(runtime: Runtime, ref: string, root: Notice): Promise<SendResult>;
}
