import type * as z from "zod";
import { readCredential } from "../../kernel/config";
import type { Outcome, ProbeContext } from "../probe";
import { defaultCredentials } from "../target.schema";
import type { Target } from "../types";
import { bad } from "./outcome";

/** Which binding a role of this target reads; a target's own naming wins over its kind's default. */
export const bindingsOf = (target: Target): Record<string, string> => ({
  ...defaultCredentials(target.kind),
  ...target.credentials,
});

type Ready<T> = { ok: true; value: T } | { ok: false; outcome: Outcome };

/**
 * The values of all credentials of the target by role, or `not_configured` with the names of the bindings that are missing or
 * can't be used: the runtime prints a header with other than ASCII characters, secret and all, to its log, and refuses one
 * with a line break.
 */
export function credentials(ctx: ProbeContext): Ready<Record<string, string>> {
  const values: Record<string, string> = {};
  const missing: string[] = [];
  const broken: string[] = [];
  for (const [role, binding] of Object.entries(bindingsOf(ctx.target))) {
    const value = readCredential(ctx.runtime.vars, binding);
    if (value === null) missing.push(binding);
    else if (!/^[\x20-\x7e]+$/.test(value)) broken.push(binding);
    else values[role] = value;
  }
  if (broken.length > 0) {
    const text = `Not configured: ${broken.join(", ")} can't be sent in a header (line break or non-ASCII character). Set it again.`;
    return { ok: false, outcome: bad("unknown", "not_configured", text, { details: { unusable: broken, missing } }) };
  }
  if (missing.length === 0) return { ok: true, value: values };
  const text = `Not configured: ${missing.join(", ")} ${missing.length === 1 ? "is" : "are"} not set.`;
  return { ok: false, outcome: bad("unknown", "not_configured", text, { details: { missing } }) };
}

/** The stored config by its schema: a row from an older version may no longer fit. */
export function configOf<S extends z.ZodType>(ctx: ProbeContext, schema: S): Ready<z.output<S>> {
  const parsed = schema.safeParse(ctx.target.config);
  if (parsed.success) return { ok: true, value: parsed.data };
  const issue = parsed.error.issues[0];
  const field = ["config", ...(issue?.path ?? []).map(String)].join(".");
  return {
    ok: false,
    outcome: bad("degraded", "misconfigured", `${field}: ${issue?.message ?? "is not valid"}`, {
      signal: "bad_config",
    }),
  };
}
