import * as z from "zod";
import { PROFILES } from "./types";

/** What an agent of the embedded messaging is made of, as operators write it. */

export const workspaceId = z
  .string()
  .regex(/^[a-z0-9][a-z0-9_-]{0,62}$/, "must be lower-case letters, digits, - and _, at most 63");

const name = z
  .string()
  .trim()
  .min(1)
  .max(80)
  .refine((text) => !/[\p{Cc}\u2028\u2029]/u.test(text), "must be one line");

export const wakeSchema = z.strictObject({
  /** http or https, or the path of a hook of this Reveille: /hooks/{id} */
  url: z.string().min(1).max(2_000),
  auth: z.enum(["hmac", "bearer"]).optional(),
  /** Left out: one is made and told once. */
  secret: z
    .string()
    .min(16)
    .max(512)
    .regex(/^[\x21-\x7e]+$/, "must be printable ASCII without spaces")
    .optional(),
});

export const newAgentSchema = z.strictObject({
  workspace: workspaceId.default("main"),
  name,
  owner: name.optional(),
  type: name.optional(),
  tool_profile: z.enum(PROFILES).optional(),
  wake: wakeSchema.nullable().optional(),
});
