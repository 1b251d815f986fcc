import * as z from "zod";

/** Words of trust (`connectonion.md` (f)). Admin is a mark beside a level, never a level. */

/** What a policy may be called by; everything else is the text of one. */
export const TRUST_LEVELS = ["open", "careful", "strict"] as const;
export type TrustLevel = (typeof TRUST_LEVELS)[number];

/** A client's standing. `blocked` wins over all others. */
export const CLIENT_LEVELS = ["stranger", "contact", "whitelist", "blocked"] as const;
export type ClientLevel = (typeof CLIENT_LEVELS)[number];

/** When a decision is asked for: a line opens, a prompt comes without one, or a stranger shows a code or a payment. */
export type Situation = "connect" | "input" | "onboard";

/** Who decided: the block list, a rule of the file, the admin mark, tier two, or the file's last word. */
export type DecidedBy = "blocked" | "rule" | "admin" | "llm" | "default";

/** The doors a stranger may be let in by; only those that can open. */
export interface OnboardOffer {
  methods: string[];
  payment_amount?: number;
}

/** The answer to "may this client?". `reason` may be shown to the client. */
export interface Decision {
  allow: boolean;
  reason: string;
  /** The level after the decision: an onboarded stranger is a contact. */
  level: ClientLevel;
  /** What the client could still do to be let in, or null. */
  onboard: OnboardOffer | null;
  by: DecidedBy;
  /** Holds the admin mark (or is the agent itself), whoever decided. */
  admin: boolean;
}

/** What Reveille itself counted of a client. Nothing a caller wrote. */
export const countersSchema = z.object({
  /** Decisions asked for within 24 h, to the hour. */
  requests_24h: z.number().int().nonnegative(),
  denied_24h: z.number().int().nonnegative(),
});
export type Counters = z.infer<typeof countersSchema>;

/** Ed25519 address as compared and stored: `0x` and 64 lower-case hex digits. */
export const ADDRESS = /^0x[0-9a-f]{64}$/;

/** All that tier two may know of a request (`connectonion.md` (f), LLM tier contract). Strict: one key more is refused. */
export const tierInput = z.strictObject({
  client_id: z.string().regex(ADDRESS),
  level: z.enum(["stranger", "contact", "whitelist"]),
  counters: countersSchema,
  /** The Markdown body of the policy in force: the operator's own words. */
  policy: z.string().max(32_768),
});
export type TierInput = z.infer<typeof tierInput>;

/** What tier two answers. `propose` is a suggestion for an admin; nothing is changed by it. */
export const tierVerdict = z.strictObject({
  allow: z.boolean(),
  reason: z.string().min(1).max(400),
  propose: z.enum(["promote", "block"]).nullish(),
});
export type TierVerdict = z.infer<typeof tierVerdict> & {
  /** Set when reasoning gave no usable answer; the verdict is then a denial. */
  failed?: string;
};

/** The service binding `REASON`: the consumer's entrypoint `TrustTier`. */
export interface TrustTierPort {
  judge(input: TierInput): Promise<TierVerdict>;
}
