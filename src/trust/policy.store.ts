import { auditStatement } from "../audit";
import { iso } from "../kernel/clock";
import { readVar } from "../kernel/config";
import { describe, ReveilleError } from "../kernel/errors";
import type { Runtime } from "../kernel/runtime";
import { parsePolicy, presetName } from "./policy";
import type { Policy } from "./policy.types";
import type { TrustLevel } from "./types";

/** Which policy is in force: the operator's own row, else REVEILLE_TRUST_POLICY, else the one of the environment. */

/** The preset of an environment: development is open, production strict, everything else careful. */
export function defaultTrustLevel(environment = ""): TrustLevel {
  const name = environment.trim().toLowerCase();
  return name === "development" ? "open" : name === "production" ? "strict" : "careful";
}

export interface PolicySource {
  from: "operator" | "variable" | "default";
  /** Text or preset name as given. */
  text: string;
  /** Version of the operator's row; null = not theirs. */
  version: number | null;
  by: string | null;
  at: string | null;
}

export type PolicyInForce = PolicySource & { policy: Policy | { error: string } };

async function readSource(db: D1Database, runtime: Runtime): Promise<PolicySource> {
  const row = await db
    .prepare("SELECT version, text, by, at FROM trust_policy ORDER BY version DESC LIMIT 1")
    .first<{ version: number; text: string; by: string; at: number }>();
  if (row && row.text !== "")
    return { from: "operator", text: row.text, version: row.version, by: row.by, at: iso(row.at) };
  const set = readVar(runtime.vars, "REVEILLE_TRUST_POLICY");
  const nobody = { version: null, by: null, at: null };
  if (set) return { from: "variable", text: set, ...nobody };
  const preset = defaultTrustLevel(readVar(runtime.vars, "REVEILLE_TRUST_ENV"));
  return { from: "default", text: preset, ...nobody };
}

/** Parsed once an isolate and text; the variables of an isolate don't change. */
const parsed = new WeakMap<Runtime, Map<string, Policy | { error: string }>>();
const MOST_KEPT = 20;

async function parseOnce(runtime: Runtime, text: string): Promise<Policy | { error: string }> {
  const kept = parsed.get(runtime) ?? new Map<string, Policy | { error: string }>();
  parsed.set(runtime, kept);
  const known = kept.get(text);
  if (known) return known;
  let policy: Policy | { error: string };
  try {
    policy = await parsePolicy(text, runtime.vars);
  } catch (error) {
    policy = { error: error instanceof ReveilleError ? error.message : describe(error) };
    runtime.log("error", "trust.policy_unreadable", { error: policy.error });
  }
  if (kept.size >= MOST_KEPT) kept.clear();
  kept.set(text, policy);
  return policy;
}

/** The policy in force; an unreadable one is `{error}` and denies everybody. @throws when the store does not answer. */
export async function loadPolicy(db: D1Database, runtime: Runtime): Promise<PolicyInForce> {
  const source = await readSource(db, runtime);
  return { ...source, policy: await parseOnce(runtime, source.text) };
}

/** Puts a policy in force; an empty text goes back to the configured one. @throws ReveilleError 400 `bad_policy`. */
export async function savePolicy(db: D1Database, runtime: Runtime, text: string, by: string): Promise<PolicyInForce> {
  const given = text.trim() === "" ? "" : text;
  // Someone who writes "strikt" must not end with a policy that is all prompt.
  if (given !== "" && presetName(given) === null && !given.startsWith("---"))
    throw new ReveilleError({
      status: 400,
      code: "bad_policy",
      message: 'A policy is open, careful, strict, or a text that begins with "---".',
      field: "policy",
    });
  const policy = given === "" ? null : await parsePolicy(given, runtime.vars);
  const at = runtime.clock.now();
  await db.batch([
    db
      .prepare("INSERT INTO trust_policy (text, hash, by, at) VALUES (?, ?, ?, ?)")
      .bind(given, policy?.hash ?? "", by, at),
    auditStatement(db, {
      at,
      seam: "trust.changed",
      source: "operator",
      // The text may hold codes: its hash stands for it.
      details: {
        actor: by,
        action: "policy",
        policy: policy?.name ?? "configured",
        hash: policy?.hash.slice(0, 16) ?? null,
      },
    }),
  ]);
  return loadPolicy(db, runtime);
}

/** Onboarding as `/info` tells it; undefined when no door can open (`connectonion.md` (b)). */
export function onboardInfo(
  policy: Policy | { error: string },
): { invite_code: boolean; payment: number | null } | undefined {
  if ("error" in policy) return undefined;
  const { codes, price } = policy.doors;
  return codes.length === 0 && price === null ? undefined : { invite_code: codes.length > 0, payment: price };
}
