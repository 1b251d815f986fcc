import type { PlatformName } from "./types";

/**
 * What a platform puts into its payloads that a gateway must never see (chat-platforms §0 "Redaction"). A normaliser takes only the
 * fields it names; these rules see to the rest: the leaves are removed by key before anything reads the payload, and remembered
 * by value, so that a copy of one in a text, or in any field that is taken, goes too.
 */
export interface StripRule {
  /** Named in tests that leave one rule out. */
  id: string;
  platform: PlatformName;
  /** Keys whose values go wherever they stand, and with them every copy of the values. */
  keys?: readonly string[];
  /** Shapes that go from any text, though no key told us. Global. */
  shape?: RegExp;
}

export const STRIP_RULES: readonly StripRule[] = [
  // The legacy verification token: who holds it could forge requests to an app that still checks it.
  { id: "slack.token", platform: "slack", keys: ["token"] },
  { id: "slack.bot_token", platform: "slack", keys: ["bot_access_token", "workflow_token", "access_token"] },
  { id: "slack.trigger_id", platform: "slack", keys: ["trigger_id", "interactivity_pointer"] },
  { id: "slack.response_url", platform: "slack", keys: ["response_url"] },
  { id: "slack.public_file", platform: "slack", keys: ["permalink_public"] },
  { id: "slack.hooks_url", platform: "slack", shape: /https?:\/\/hooks\.slack\.com[^\s<>"'|)\]]*/gi },
  { id: "slack.xox", platform: "slack", shape: /\bxox[a-z]-[A-Za-z0-9-]{8,}/g },
  // The interaction's, and any webhook's. It stands in the path of what wields it.
  { id: "discord.token", platform: "discord", keys: ["token"] },
  {
    id: "discord.webhook_url",
    platform: "discord",
    shape: /https?:\/\/(?:\w+\.)?discord(?:app)?\.com\/api\/(?:v\d+\/)?(?:webhooks|interactions)\/[^\s<>"'|)\]]*/gi,
  },
  // Acts for a person's own account (chat-platforms §3.3).
  { id: "telegram.business", platform: "telegram", keys: ["business_connection_id", "business_connection"] },
  { id: "telegram.invite", platform: "telegram", keys: ["invite_link"] },
  { id: "telegram.bot_url", platform: "telegram", shape: /\bbot\d{5,}:[A-Za-z0-9_-]{20,}/g },
  { id: "telegram.bot_token", platform: "telegram", shape: /\b\d{6,}:[A-Za-z0-9_-]{32,}/g },
];

export interface Stripped {
  /** Every text that was removed, by the key it stood under. */
  taken: Map<string, string[]>;
  /** All of them, and what is to be removed from texts. */
  secrets: string[];
  shapes: RegExp[];
}

/** Nesting beyond any real payload: the rest goes, as we can't say what it holds. */
const MAX_DEPTH = 60;

/** Removes the leaves the rules name from a parsed payload, in place. */
export function strip(payload: unknown, platform: PlatformName, rules: readonly StripRule[] = STRIP_RULES): Stripped {
  const mine = rules.filter((r) => r.platform === platform);
  const keys = new Set(mine.flatMap((r) => r.keys ?? []));
  const taken = new Map<string, string[]>();
  const collect = (key: string, value: unknown, depth: number): void => {
    if (typeof value === "string") {
      const list = taken.get(key) ?? [];
      taken.set(key, list);
      list.push(value);
    } else if (value && typeof value === "object" && depth < MAX_DEPTH)
      for (const inner of Object.values(value)) collect(key, inner, depth + 1);
  };
  const walk = (value: unknown, depth: number): void => {
    if (!value || typeof value !== "object") return;
    for (const [key, inner] of Object.entries(value)) {
      if (!keys.has(key) && depth < MAX_DEPTH) {
        walk(inner, depth + 1);
        continue;
      }
      if (keys.has(key)) collect(key, inner, 0);
      delete (value as Record<string, unknown>)[key];
    }
  };
  walk(payload, 0);
  return { taken, secrets: [...taken.values()].flat(), shapes: mine.flatMap((r) => r.shape ?? []) };
}

/** An object read from a form: `taken` by the same rules, for fields that are no JSON. */
export const stripForm = (form: URLSearchParams, platform: PlatformName, rules?: readonly StripRule[]) => {
  const fields: Record<string, unknown> = Object.fromEntries(form);
  return { fields, ...strip(fields, platform, rules) };
};
