/** A policy once it is parsed. Codes are secrets: a policy never leaves the process; `policyView` is what may be shown. */

export const CONDITIONS = [
  "has_invite_code",
  "has_payment",
  "is_blocked",
  "is_admin",
  "is_whitelist",
  "is_contact",
  "is_stranger",
  "always",
] as const;
export type Condition = (typeof CONDITIONS)[number];

export const ACTIONS = [
  "allow",
  "deny",
  "verify_invite",
  "verify_payment",
  "promote",
  "demote",
  "block",
  "require_admin",
] as const;
export type Action = (typeof ACTIONS)[number];

export type OnSuccess = "promote_to_contact" | "promote_to_whitelist";

/** One line of `fast_rules`. `n` counts from 1, as a person reads the file. */
export interface Rule {
  n: number;
  if: Condition;
  action: Action;
  on_success: OnSuccess | null;
}

export type Trigger =
  | { kind: "requests"; more_than: number; reason: string }
  | { kind: "suspicious_pattern" | "manual_review"; reason: string };

/** Whom a list of the second grammar may name. */
export const WHO = ["admin", "whitelist", "contact", "stranger", "blocked"] as const;
export type Who = (typeof WHO)[number];

/** The two grammars (`connectonion.md` (f)). A file without front matter is the second with nothing in it: it denies. */
export type Body =
  | { grammar: "rules"; rules: Rule[]; use_agent: Trigger[] }
  | { grammar: "lists"; allow: Who[]; deny: Who[]; default: "allow" | "deny" | "ask" };

/** Ways in that can open now: a code that is set, a price with a verifier behind it. */
export interface Doors {
  codes: string[];
  /** What a payment must come to; null = no such door. */
  price: number | null;
}

export type Policy = {
  /** `open`, `careful`, `strict`, or `own`. */
  name: string;
  /** SHA-256 of the text and of which doors are open: a verdict belongs to one of these. */
  hash: string;
  text: string;
  /** The Markdown under the front matter: what tier two reads. */
  prompt: string;
  doors: Doors;
  /** How long a verdict of tier two is kept, ms. */
  cache_ms: number;
} & Body;
