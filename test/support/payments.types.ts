/** Contract of the payment verifier's stand-in (payments.ts): its book, and the ways in which it may lie. */

export interface Transfer {
  client_id: string;
  amount: number;
  reference: string;
  /** Epoch ms. */
  paid_at: number;
}

/** Ways in which a verifier is wrong: each says "verified" although it must not be believed. */
export type Misbehaviour =
  | "none"
  | "somebody_else"
  | "too_little"
  | "stale"
  | "future"
  | "500"
  | "html"
  | "hang"
  | "redirect"
  | "huge";
