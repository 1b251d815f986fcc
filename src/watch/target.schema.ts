import * as z from "zod";
import { credentialAllowed } from "../kernel/config";
import { clip, ReveilleError } from "../kernel/errors";
import {
  dopplerConfig,
  flyConfig,
  heartbeatConfig,
  httpConfig,
  internalConfig,
  rolesIn,
  sentryConfig,
  span,
  supabaseConfig,
  tcpConfig,
  vercelConfig,
} from "./target.config";
import { KINDS, type Kind, type Target } from "./types";

export { parseEvery, parseSpan, spanText } from "./target.config";

/** The body of `POST /api/v1/targets` and of a seed entry (design §8): one schema per kind, unknown keys refused. */

export const TARGET_ID = /^[a-z0-9][a-z0-9-]{0,62}$/;

const VENDOR_DEFAULTS: Partial<Record<Kind, Record<string, string>>> = {
  supabase: { token: "REVEILLE_SUPABASE_ACCESS_TOKEN", key: "REVEILLE_SUPABASE_KEY" },
  fly: { token: "REVEILLE_FLY_API_TOKEN" },
  vercel: { token: "REVEILLE_VERCEL_API_TOKEN" },
  sentry: { token: "REVEILLE_SENTRY_API_TOKEN" },
  doppler: { token: "REVEILLE_DOPPLER_API_TOKEN" },
};

/** The bindings a kind reads when its target names none: role → binding name. Empty for kinds without a credential of their own. */
export const defaultCredentials = (kind: Kind): Record<string, string> => ({ ...VENDOR_DEFAULTS[kind] });

/** A name that a person may have pasted a secret into is not repeated unless it looks like a binding name. */
const seen = (name: string): string => (/^[A-Z][A-Z0-9_]{0,63}$/.test(name) ? `${name} ` : "This ");

const binding = z.string().superRefine((name, ctx) => {
  if (!credentialAllowed(name))
    ctx.addIssue({
      code: "custom",
      message:
        `${seen(name)}can't be sent to a target: only secrets kept for watching may be, never Reveille's own. ` +
        "Put the secret into a binding whose name starts with WATCH_, e.g. WATCH_CHECKOUT_TOKEN, and give that name here.",
    });
});

const roles = (kind: Kind) => {
  const defaults = defaultCredentials(kind);
  const shape = Object.fromEntries(Object.keys(defaults).map((role) => [role, binding.optional()]));
  return z
    .strictObject(shape)
    .default({})
    .transform((given): Record<string, string> => {
      const named = Object.entries(given).filter((e): e is [string, string] => typeof e[1] === "string");
      return { ...defaults, ...Object.fromEntries(named) };
    });
};
const freeRoles = z
  .record(z.string().regex(/^[a-z][a-z0-9_]{0,31}$/, "a role is a lower-case word, e.g. token"), binding)
  .refine((r) => Object.keys(r).length <= 10, "at most 10 credentials")
  .default({});

const thresholds = z
  .strictObject({
    confirm: z.int().min(1).max(10).optional(),
    confirm_unreachable: z.int().min(1).max(10).optional(),
    recover: z.int().min(1).max(10).optional(),
  })
  .default({});

const name = z
  .string()
  .trim()
  .min(1, "must not be empty")
  .max(80, "at most 80 characters")
  .refine((text) => !/[\p{Cc}\p{Cf}]/u.test(text), "must not hold control or direction marks");

const common = {
  id: z.string().regex(TARGET_ID, 'must be lower-case letters, digits and "-", at most 63, e.g. fly-web').optional(),
  name,
  /** Seconds after reading. */
  every: span({ field: "every", min: 60, max: 86_400 }).default(60),
  thresholds,
  paused: z.boolean().default(false),
};

const byKind = z.discriminatedUnion("kind", [
  z.strictObject({ ...common, kind: z.literal("supabase"), config: supabaseConfig, credentials: roles("supabase") }),
  z.strictObject({ ...common, kind: z.literal("fly"), config: flyConfig, credentials: roles("fly") }),
  z.strictObject({
    ...common,
    kind: z.literal("vercel"),
    config: vercelConfig.prefault({}),
    credentials: roles("vercel"),
  }),
  z.strictObject({ ...common, kind: z.literal("sentry"), config: sentryConfig, credentials: roles("sentry") }),
  z.strictObject({
    ...common,
    kind: z.literal("doppler"),
    config: dopplerConfig.prefault({}),
    credentials: roles("doppler"),
  }),
  z
    .strictObject({ ...common, kind: z.literal("http"), config: httpConfig, credentials: freeRoles })
    .superRefine((t, ctx) => {
      const headers = Object.entries(t.config.headers).map(([name, value]) => ({ path: ["headers", name], value }));
      for (const { path, value } of [{ path: ["url"], value: t.config.url }, ...headers])
        for (const role of rolesIn(value))
          if (!Object.hasOwn(t.credentials, role))
            ctx.addIssue({
              code: "custom",
              path: ["config", ...path],
              message: `uses {{${role}}}, but \`credentials\` has no "${role}"; add {"${role}": "WATCH_..."}`,
            });
    }),
  z.strictObject({ ...common, kind: z.literal("tcp"), config: tcpConfig, credentials: roles("tcp") }),
  z.strictObject({ ...common, kind: z.literal("heartbeat"), config: heartbeatConfig, credentials: roles("heartbeat") }),
]);

/** `{"kind":"http","url":...}` is the short form of `{"kind":"http","config":{"url":...}}`. */
function unfold(body: unknown): unknown {
  if (typeof body !== "object" || body === null || !("url" in body) || !("kind" in body) || body.kind !== "http")
    return body;
  const { url, ...rest } = body as Record<string, unknown>;
  const config = typeof rest["config"] === "object" && rest["config"] !== null ? rest["config"] : {};
  return "url" in config ? body : { ...rest, config: { ...config, url } };
}

/** A target as an operator writes it. `internal` is not among its kinds: those are made by Reveille itself. */
export const targetInput = z.preprocess(unfold, byKind);
export type TargetInput = z.output<typeof byKind>;

/** A target that one of our own rules feeds; never accepted from the API. */
export const internalTarget = z.strictObject({
  ...common,
  kind: z.literal("internal"),
  config: internalConfig,
  credentials: roles("internal"),
});
export type InternalTarget = z.output<typeof internalTarget>;

/** `PATCH` body: given keys replace, inside `config`, `credentials` and `thresholds` key by key; null removes a key. */
export const targetPatch = z.strictObject({
  name: z.unknown().optional(),
  every: z.unknown().optional(),
  config: z.record(z.string(), z.unknown()).optional(),
  credentials: z.record(z.string(), z.unknown()).optional(),
  thresholds: z.record(z.string(), z.unknown()).optional(),
  paused: z.unknown().optional(),
});
export type TargetPatch = z.output<typeof targetPatch>;

const CONFIGS: Partial<Record<string, z.ZodType>> = {
  supabase: supabaseConfig,
  fly: flyConfig,
  sentry: sentryConfig,
  http: httpConfig,
  tcp: tcpConfig,
  heartbeat: heartbeatConfig,
};

/** The keys that a kind's `config` can't do without, as the schema itself tells them. */
function requiredKeys(body: unknown): string[] {
  const kind = typeof body === "object" && body !== null && "kind" in body ? String(body.kind) : "";
  const issues = CONFIGS[kind]?.safeParse({}).error?.issues ?? [];
  return [...new Set(issues.flatMap((i) => (i.path.length === 1 ? [String(i.path[0])] : [])))];
}

const TYPES: Record<string, string> = {
  object: "an object",
  record: "an object",
  array: "a list",
  string: "a text",
  number: "a number",
  int: "a whole number",
  boolean: "true or false",
};

/** Zod's "Invalid input: expected …, received …" in words; any other message stays. */
const typeWords = (message: string): string =>
  message.replace(/^Invalid input: expected (\S+), received (.+)$/, (all, expected: string, got: string) =>
    got === "undefined" ? "is missing" : TYPES[expected] ? `must be ${TYPES[expected]}` : all,
  );

/** Turns what zod found into our error: the first field that is wrong, in words. `body`: what was read, for the hint. */
export function schemaError(error: z.ZodError, what = "target", body?: unknown): ReveilleError {
  const first = error.issues[0];
  let field = (first?.path ?? []).map(String).join(".");
  let message = typeWords(first?.message ?? "is not valid");
  let hint: string | undefined;
  if (first?.code === "unrecognized_keys") {
    const key = clip(first.keys[0] ?? "", 60);
    field = field ? `${field}.${key}` : key;
    message = "is not known here";
    hint = "Check the spelling, or leave it out.";
  } else if (first?.code === "invalid_union" && field === "kind") {
    message = `must be one of ${KINDS.filter((k) => k !== "internal").join(", ")}`;
  } else if (field === "config") {
    const keys = requiredKeys(body);
    if (keys.length > 0) hint = `This kind needs ${keys.map((k) => `config.${k}`).join(" and ")}; see docs/targets.md.`;
  }
  const shown = field || what;
  return new ReveilleError({
    status: 400,
    code: `bad_${what}`,
    message: message.startsWith(`${shown.split(".").at(-1)} `) ? message : `${shown} ${message}`,
    ...(field ? { field } : {}),
    ...(hint ? { hint } : {}),
  });
}

/** Reads a whole target. @throws ReveilleError 400 `bad_target` naming the field. */
export function parseTarget(body: unknown): TargetInput {
  const read = targetInput.safeParse(body);
  if (!read.success) throw schemaError(read.error, "target", body);
  return read.data;
}

type Loose = Record<string, unknown>;
function merge(old: Loose, patch: Loose | undefined): Loose {
  const merged = { ...old, ...patch };
  return Object.fromEntries(Object.entries(merged).filter(([, v]) => v !== null));
}

/** Applies a PATCH body to a stored target and validates the whole. @throws ReveilleError 400 naming the field. */
export function patchTarget(target: Target, body: unknown): TargetInput {
  if (typeof body === "object" && body !== null)
    for (const fixed of ["id", "kind"] as const)
      if (fixed in body && (body as Loose)[fixed] !== target[fixed])
        throw new ReveilleError({
          status: 400,
          code: "bad_target",
          message: `${fixed} can't be changed.`,
          field: fixed,
          hint: "Create a new target and delete this one.",
        });
  const { id: _id, kind: _kind, ...rest } = (body ?? {}) as Loose;
  const read = targetPatch.safeParse(typeof body === "object" && body !== null && !Array.isArray(body) ? rest : body);
  if (!read.success) throw schemaError(read.error);
  const patch = read.data;
  return parseTarget({
    id: target.id,
    kind: target.kind,
    name: patch.name ?? target.name,
    every: patch.every ?? target.every_s,
    paused: patch.paused ?? target.paused,
    config: merge(target.config, patch.config),
    credentials: merge(target.credentials, patch.credentials),
    thresholds: merge(target.thresholds as Loose, patch.thresholds),
  });
}

/** An id from a name: "Checkout (EU)" → "checkout-eu"; "target" when nothing of it can be used. */
export function idFromName(text: string): string {
  const id = text
    .normalize("NFKD")
    .toLowerCase()
    .replace(/\p{M}/gu, "")
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^-+/, "")
    .slice(0, 63)
    .replace(/-+$/, "");
  return id || "target";
}

/** Every operator-given URL with its field, for `checkUrl` with the allow-list at create time. */
export function urlsOf(input: TargetInput): { field: string; url: string }[] {
  const of = (config: Record<string, unknown>, ...fields: string[]): { field: string; url: string }[] =>
    fields.flatMap((f) => (typeof config[f] === "string" ? [{ field: `config.${f}`, url: config[f] }] : []));
  switch (input.kind) {
    case "supabase":
      return of(input.config, "url", "management_url", "status_url");
    case "fly":
    case "vercel":
    case "doppler":
      return of(input.config, "api_url", "status_url");
    case "sentry":
      return of(input.config, "base_url", "status_url");
    case "http":
      return of(input.config, "url");
    case "tcp":
    case "heartbeat":
      return [];
  }
}

/** Every operator-given bare host with its port, for `checkHost`. */
export function hostsOf(input: TargetInput): { field: string; host: string; port: string }[] {
  return input.kind === "tcp"
    ? [{ field: "config.host", host: input.config.host, port: String(input.config.port) }]
    : [];
}
