import * as z from "zod";
import { sloKeyName } from "../kernel/config.slo";
import { PLATFORMS } from "../platform";
import { HMAC_DEFAULTS } from "./auth";
import { knownZone } from "./quiet";
import { patternFault } from "./regex";

/** What a hook is made of, as operators write it (wake-slo §1.3). */

/** Bytes of a body, unless the hook says otherwise, and the most it may say. */
export const MAX_BODY = 262_144;
const MOST_BODY = 1024 * 1024;

const pattern = z.string().superRefine((text, ctx) => {
  const fault = patternFault(text);
  if (fault) ctx.addIssue({ code: "custom", message: fault });
});

const name = z.string().trim().min(1).max(100);

export const hmacSchema = z.strictObject({
  header: z
    .string()
    .regex(/^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}$/, "must be the name of a header")
    .default(HMAC_DEFAULTS.header),
  algorithm: z.string().max(20).default(HMAC_DEFAULTS.algorithm),
  encoding: z.enum(["hex", "base64"]).default(HMAC_DEFAULTS.encoding),
  sig_prefix: z.string().max(40).default(HMAC_DEFAULTS.sig_prefix),
  sig_regex: pattern.optional(),
  payload_prefix_regex: pattern.optional(),
});

export const recipientSchema = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("builtin") }),
  z.strictObject({
    kind: z.literal("gateway"),
    tenant: name,
    instance: name,
    platform: z.enum(PLATFORMS),
    chat_id: name,
    user_id: name,
    /** Slack team, Discord guild: part of the chat's session. */
    scope_id: name.optional(),
  }),
  z.strictObject({
    kind: z.literal("agent"),
    address: z.string().regex(/^0x[0-9a-f]{64}$/, "must be an address: 0x…"),
  }),
  z.strictObject({ kind: z.literal("webhook"), url: z.string().max(2_000) }),
  z.strictObject({ kind: z.literal("mail"), workspace: name, agent_id: name }),
]);

const hour = z.int().min(0).max(23);
export const quietSchema = z.strictObject({
  start: hour,
  end: hour,
  zone: z.string().max(60).refine(knownZone, "must be an IANA time zone").default("UTC"),
});

export const sloSchema = z.strictObject({
  peer_url: z.string().max(2_000).nullable().default(null),
  ack_mode: z.enum(["required", "auto", "off"]).default("auto"),
  key_ref: z.string().refine(sloKeyName, "must be named WAKE_SLO_KEY__<AGENT>").nullable().default(null),
  extended_reply: z.boolean().default(true),
  enabled: z.boolean().default(true),
});

export const limitsSchema = z.strictObject({
  per_minute: z.int().min(1).max(100_000).nullable().default(null),
  max_body_bytes: z.int().min(1).max(MOST_BODY).default(MAX_BODY),
});

/** A secret the operator brings: long enough, and sayable in a header. */
export const secretSchema = z.string().regex(/^[\x21-\x7e]{16,512}$/, "must have 16 to 512 printable characters");

export const hookId = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/, "must have letters, digits, - and _ only")
  .refine((id) => id !== "health", "is taken");

const fields = {
  title: name,
  description: z.string().max(2_000).default(""),
  mode: z.enum(["wake", "cron_task"]).default("wake"),
  template: z.string().max(20_000).default(""),
  enabled: z.boolean().default(true),
  agent_id: name,
  agent_name: name,
  recipient: recipientSchema.default({ kind: "builtin" }),
  auth_mode: z.enum(["bearer", "hmac"]).default("bearer"),
  hmac: hmacSchema.prefault({}),
  quiet: quietSchema.nullable().default(null),
  slo: sloSchema.prefault({}),
  limits: limitsSchema.prefault({}),
};

/** What is stored of a hook's settings. */
export const hookSettings = z.strictObject(fields);
export type HookSettings = z.infer<typeof hookSettings>;

/** A new hook. Without `secret` one is made, unless `own_secret` is false: then the global token lets in. */
export const newHook = z.strictObject({
  id: hookId.optional(),
  ...fields,
  secret: secretSchema.optional(),
  own_secret: z.boolean().default(true),
  slo_key: secretSchema.optional(),
});

/** A change of a hook: what is left out stays; of `hmac`, `slo` and `limits` too. `slo_key` null takes the key away. */
export const hookPatch = z.looseObject({ slo_key: secretSchema.nullable().optional() });
