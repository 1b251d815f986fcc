/** What tests in workerd need to know of the agents' runtimes (wake-receiver.ts), which are Node's. */

export type WakeMood =
  | "accept"
  /** 200 without the word that counts. */
  | "bare"
  | "accepted_text"
  | "html"
  | "500"
  | "huge"
  /** Sends the sender on to `/wake/elsewhere`. */
  | "redirect"
  /** Answers after `hold_ms`. */
  | "hold"
  | "never";

export interface Knock {
  headers: Record<string, string>;
  body: string;
  /** Requests to this name that were under way when this one came, itself included. */
  at_once: number;
}
