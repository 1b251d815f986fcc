import { CORE_SCHEMA, load, YAMLException } from "js-yaml";
import * as z from "zod";
import { DAY, HOUR, MINUTE, SECOND } from "../kernel/clock";
import { sha256Hex } from "../kernel/crypto";
import { badRequest, clip, type ReveilleError } from "../kernel/errors";
import { type Doors, doorsOf } from "./doors";
import {
  ACTIONS,
  type Body,
  CONDITIONS,
  type Condition,
  type Policy,
  type Rule,
  type Trigger,
  WHO,
  type Who,
} from "./policy.types";
import { PRESETS } from "./presets";
import { TRUST_LEVELS, type TrustLevel } from "./types";

/** Reading a policy file: both grammars of `connectonion.md` (f), each mistake told with its key. */

/** A policy is a page of text; a longer one is a mistake. */
export const MAX_POLICY = 32 * 1024;
const DEFAULT_CACHE = DAY;
const MAX_CACHE = 30 * DAY;

export const policyError = (message: string, field = "policy"): ReveilleError =>
  badRequest("bad_policy", message, field, "docs/trust.md has both grammars with examples.");

/** Keys of each grammar. `cache` belongs to both; the last ones are for people. */
const RULE_KEYS = ["fast_rules", "use_agent", "invite_code", "payment"];
const LIST_KEYS = ["allow", "deny", "onboard", "default"];
const SHARED_KEYS = ["cache", "name", "description", "version"];

/** `open`, `careful` or `strict` whatever its case, or null. */
export const presetName = (text: string): TrustLevel | null =>
  TRUST_LEVELS.find((level) => level === text.trim().toLowerCase()) ?? null;

/**
 * A policy from a preset's name or the text of a file. Text without front matter is all prompt and denies everybody.
 * `vars` are the bindings: `$NAME` in codes and prices is read from them, and a name that is not set closes its door.
 * @throws ReveilleError 400 `bad_policy` that names the key: unknown words, both grammars at once, unreadable YAML.
 */
export async function parsePolicy(source: string, vars: Record<string, unknown> = {}): Promise<Policy> {
  if (source.length > MAX_POLICY) throw policyError(`The policy is longer than ${MAX_POLICY / 1024} KiB.`);
  const preset = presetName(source);
  const text = (preset ? PRESETS[preset] : source).replaceAll("\r\n", "\n");
  const { head, prompt } = split(text);
  const config = head === null ? {} : readYaml(head);
  const { body, doors } = read(config, vars);
  const cache_ms = config["cache"] === undefined ? DEFAULT_CACHE : duration(config["cache"]);
  // Not the codes: they are short, and a hash of them could be tried out.
  const hash = await sha256Hex(JSON.stringify([text, doors.codes.length, doors.price]));
  return { name: preset ?? "own", hash, text, prompt, doors, cache_ms, ...body };
}

function split(text: string): { head: string | null; prompt: string } {
  const lines = text.split("\n");
  if (lines[0]?.trimEnd() !== "---") return { head: null, prompt: text.trim() };
  const end = lines.findIndex((line, i) => i > 0 && line.trimEnd() === "---");
  if (end < 0) throw policyError('The front matter begins with "---" and never ends.');
  return {
    head: lines.slice(1, end).join("\n"),
    prompt: lines
      .slice(end + 1)
      .join("\n")
      .trim(),
  };
}

function readYaml(head: string): Record<string, unknown> {
  let value: unknown;
  try {
    // No aliases: a few lines of them can grow into gigabytes.
    const blank = head.split("\n").every((line) => /^\s*(#.*)?$/.test(line));
    value = blank ? null : load(head, { schema: CORE_SCHEMA, maxAliases: 0 });
  } catch (error) {
    if (!(error instanceof YAMLException)) throw error;
    if (/alias/i.test(error.message)) throw policyError("The front matter uses YAML aliases; write the values out.");
    throw policyError(`The front matter is not YAML: ${clip(error.message.split("\n")[0]!, 160)}`);
  }
  if (value === null || value === undefined) return {};
  if (typeof value !== "object" || Array.isArray(value)) throw policyError("The front matter must be keys and values.");
  return value as Record<string, unknown>;
}

function read(config: Record<string, unknown>, vars: Record<string, unknown>): { body: Body; doors: Doors } {
  const keys = Object.keys(config);
  const unknown = keys.find((k) => ![...RULE_KEYS, ...LIST_KEYS, ...SHARED_KEYS].includes(k));
  if (unknown !== undefined) throw policyError(`"${clip(unknown, 40)}" is no key of a policy.`, clip(unknown, 40));
  const rule = keys.find((k) => RULE_KEYS.includes(k));
  const list = keys.find((k) => LIST_KEYS.includes(k));
  if (rule !== undefined && list !== undefined)
    throw policyError(`"${rule}" and "${list}" belong to two different grammars; use one in a file.`, rule);
  return rule === undefined ? readLists(config, vars) : readRules(config, vars);
}

const word = (value: unknown): string => clip(typeof value === "string" ? value : (JSON.stringify(value) ?? ""), 60);

const ALIASES: Record<string, Condition> = { invite_code: "has_invite_code", payment: "has_payment" };

const ruleSchema = z.strictObject({
  if: z.string(),
  action: z.string(),
  on_success: z.enum(["promote_to_contact", "promote_to_whitelist"]).optional(),
});

function readRules(config: Record<string, unknown>, vars: Record<string, unknown>): { body: Body; doors: Doors } {
  const given = config["fast_rules"] ?? [];
  if (!Array.isArray(given)) throw policyError("fast_rules must be a list.", "fast_rules");
  const rules = given.map((raw, i): Rule => {
    const at = `fast_rules[${i + 1}]`;
    const parsed = ruleSchema.safeParse(raw);
    if (!parsed.success) {
      const issue = parsed.error.issues[0];
      throw policyError(`${at}: ${issue?.path.join(".") || "rule"}: ${issue?.message ?? "unreadable"}`, at);
    }
    const { action, on_success } = parsed.data;
    const condition = ALIASES[parsed.data.if] ?? CONDITIONS.find((c) => c === parsed.data.if);
    if (!condition)
      throw policyError(`${at}: "${word(parsed.data.if)}" is no condition: ${CONDITIONS.join(", ")}.`, at);
    const known = ACTIONS.find((a) => a === action);
    if (!known) throw policyError(`${at}: "${word(action)}" is no action: ${ACTIONS.join(", ")}.`, at);
    if (on_success && !known.startsWith("verify_"))
      throw policyError(`${at}: on_success only follows verify_invite or verify_payment.`, at);
    return { n: i + 1, if: condition, action: known, on_success: on_success ?? null };
  });
  const doors = doorsOf(
    {
      invite_code: config["invite_code"] ?? "$REVEILLE_INVITE_CODE",
      payment: config["payment"] ?? "$REVEILLE_INVITE_PRICE",
    },
    vars,
  );
  const has = (action: string): boolean => rules.some((r) => r.action === action);
  return {
    body: { grammar: "rules", rules, use_agent: readTriggers(config["use_agent"] ?? []) },
    // A door no rule leads to is no door.
    doors: {
      codes: has("verify_invite") ? doors.codes : [],
      price: has("verify_payment") ? doors.price : null,
    },
  };
}

const triggerSchema = z.strictObject({ when: z.string(), reason: z.string().max(200).optional() });

function readTriggers(given: unknown): Trigger[] {
  if (!Array.isArray(given)) throw policyError("use_agent must be a list.", "use_agent");
  return given.map((raw, i): Trigger => {
    const at = `use_agent[${i + 1}]`;
    const parsed = triggerSchema.safeParse(raw);
    if (!parsed.success) throw policyError(`${at} must be {when, reason?}.`, at);
    const when = parsed.data.when.trim();
    const reason = parsed.data.reason ?? when;
    const requests = /^requests\s*>\s*(\d{1,7})$/.exec(when);
    if (requests) return { kind: "requests", more_than: Number(requests[1]), reason };
    if (when === "suspicious_pattern" || when === "manual_review") return { kind: when, reason };
    throw policyError(`${at}: "${word(when)}" is unknown: requests > N, suspicious_pattern or manual_review.`, at);
  });
}

const WHO_ALIASES: Record<string, Who> = { whitelisted: "whitelist", contacts: "contact", admins: "admin" };

function whoList(value: unknown, key: string): Who[] {
  const given = value === null || value === undefined ? [] : Array.isArray(value) ? value : [value];
  return given.map((raw) => {
    const who = typeof raw === "string" ? (WHO_ALIASES[raw] ?? WHO.find((w) => w === raw)) : undefined;
    if (!who)
      throw policyError(`${key} names "${word(raw)}"; known: admin, whitelisted, contact, stranger, blocked.`, key);
    return who;
  });
}

const onboardSchema = z.strictObject({ invite_code: z.unknown().optional(), payment: z.unknown().optional() });

function readLists(config: Record<string, unknown>, vars: Record<string, unknown>): { body: Body; doors: Doors } {
  const onboard = onboardSchema.safeParse(config["onboard"] ?? {});
  if (!onboard.success) throw policyError("onboard takes invite_code and payment.", "onboard");
  const last = config["default"];
  return {
    body: {
      grammar: "lists",
      allow: whoList(config["allow"], "allow"),
      deny: config["deny"] === undefined ? ["blocked"] : whoList(config["deny"], "deny"),
      // A word nobody knows is no permission.
      default: last === "allow" || last === "ask" ? last : "deny",
    },
    doors: doorsOf(onboard.data, vars),
  };
}

const UNITS: Record<string, number> = { s: SECOND, m: MINUTE, h: HOUR, d: DAY };

function duration(value: unknown): number {
  const m = typeof value === "string" ? /^(\d{1,6})\s*([smhd])$/.exec(value.trim()) : null;
  const ms = m ? Number(m[1]) * UNITS[m[2]!]! : Number.NaN;
  if (!(ms >= 0 && ms <= MAX_CACHE))
    throw policyError(`cache is "${word(value)}"; write it like 30m, 24h or 7d, at most 30d.`, "cache");
  return ms;
}
