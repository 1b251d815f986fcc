import type { StripRule } from "./strip";
import type { Answer, BotIdentity, PlatformName, Reading } from "./types";
import type { Verdict } from "./verdict";

/** What a platform is to the pipeline (chat-platforms §0): its paths, its proof, and what its bytes mean. */

/** One call of a platform, body read once. */
export interface WebhookCall {
  /** The app's name in our URL: several bots of one platform each have their own. */
  app: string;
  /** What follows `/webhooks/{platform}/{app}/`; "" when nothing does. One of the adaptor's `tails`. */
  tail: string;
  method: "POST" | "GET";
  /** As the Worker saw it. Behind a proxy it is not what the platform signed. */
  url: URL;
  headers: Headers;
  bytes: Uint8Array;
}

export interface AppFacts {
  /** From the set-up check (`platform_app`); null before it ran. */
  bot: BotIdentity | null;
  /** Wall ms: when the call came. Lifetimes of capabilities count from here when the payload has no time of its own. */
  now: number;
  /** The raw variables, for ids that are no secret (application id, phone number id). Nothing secret may enter a Reading. */
  vars: Record<string, unknown>;
  /** Default: all. A test leaves one out to prove that it is needed. */
  rules?: readonly StripRule[];
}

/** The payload is not what the platform ever sends: 400, and no repeat wanted. The text is for the log, without content. */
export class MalformedPayload extends Error {}

/** One platform. No method does I/O but `verify`, whose cryptography is asynchronous; `read` may hash. */
export interface Adaptor {
  name: PlatformName;
  /** Paths after the app's name: `["events", "interactions"]`, or `[""]` for none. */
  tails: readonly string[];
  /** The variable without which every call is refused with 503, or null when all is set. */
  unset(vars: Record<string, unknown>, app: string): string | null;
  /** `nowS`: wall time, Unix seconds. */
  verify(call: WebhookCall, vars: Record<string, unknown>, nowS: number): Promise<Verdict>;
  /** Status of a bad proof; every kind of it gets the same empty body. */
  refuse: 401 | 403;
  /** Added to a 400: what stops the platform's repeats. */
  never?: Record<string, string>;
  /** Events of a verified call. @throws MalformedPayload: 400. Any other error: 500, so that the platform repeats. */
  read(call: WebhookCall, facts: AppFacts): Promise<Reading>;
  /** A GET (Meta's handshake) on a tail; absent: 405. Proves itself, as no signature covers it. */
  handshake?(call: WebhookCall, vars: Record<string, unknown>): Promise<Answer>;
  /** Words for the person, inside the answer of this call (an ephemeral reply); null: they go by the platform's sender. */
  say?(call: WebhookCall, text: string): Answer | null;
}

/** Strict UTF-8 without a BOM; NUL is legal in no JSON text and in no D1 text. @throws MalformedPayload */
export function decodeBody(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: false }).decode(bytes).replaceAll("\u0000", "");
  } catch {
    throw new MalformedPayload("not UTF-8");
  }
}

/** @throws MalformedPayload */
export function parseBody(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new MalformedPayload("not JSON");
  }
}
