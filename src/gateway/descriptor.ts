/** What a gateway is told of a platform it fronts (hermes-relay §3). */

/**
 * The nine required fields come first: a gateway's reader dies without any of them and dials again in a tight loop, so this
 * type is the one builder's result and nothing else is ever sent.
 */
export interface Descriptor {
  contract_version: 1;
  platform: string;
  label: string;
  max_message_length: number;
  supports_draft_streaming: boolean;
  supports_edit: boolean;
  supports_threads: boolean;
  markdown_dialect: string;
  len_unit: "chars" | "utf16";
  emoji: string;
  pii_safe: boolean;
  supports_context: boolean;
  supports_inchannel_continuable: boolean;
  supports_block_formatting: boolean;
  /** Never empty: absent or empty means to a gateway "send, edit, typing, follow_up". */
  supported_ops: string[];
}

interface Traits {
  label: string;
  max: number;
  unit: Descriptor["len_unit"];
  dialect: string;
  threads: boolean;
  emoji: string;
  pii_safe: boolean;
  continuable: boolean;
}

const TRAITS: Record<string, Traits> = {
  slack: {
    label: "Slack",
    max: 39_000,
    unit: "chars",
    dialect: "slack_mrkdwn",
    threads: true,
    emoji: "💬",
    pii_safe: false,
    continuable: true,
  },
  discord: {
    label: "Discord",
    max: 2_000,
    unit: "chars",
    dialect: "discord",
    threads: true,
    emoji: "🎮",
    pii_safe: false,
    continuable: false,
  },
  telegram: {
    label: "Telegram",
    max: 4_096,
    unit: "utf16",
    dialect: "telegram_html",
    threads: true,
    emoji: "✈️",
    pii_safe: true,
    continuable: false,
  },
  whatsapp: {
    label: "WhatsApp",
    max: 4_096,
    unit: "chars",
    dialect: "whatsapp",
    threads: false,
    emoji: "📱",
    pii_safe: false,
    continuable: false,
  },
  sms: {
    label: "SMS",
    max: 1_600,
    unit: "chars",
    dialect: "plain",
    threads: false,
    emoji: "✉️",
    pii_safe: false,
    continuable: false,
  },
};

/** For a gateway that named no platform of ours: whole, so that its reader lives, and with nothing to promise. */
const GENERIC: Traits = {
  label: "Reveille",
  max: 4_096,
  unit: "chars",
  dialect: "plain",
  threads: false,
  emoji: "🔌",
  pii_safe: false,
  continuable: false,
};

/** `ops`: what the platform's sender really does; a gateway trusts the list and never probes. */
export function descriptorOf(platform: string, ops: readonly string[]): Descriptor {
  const t = (Object.hasOwn(TRAITS, platform) ? TRAITS[platform] : undefined) ?? GENERIC;
  return {
    contract_version: 1,
    platform,
    label: t.label,
    max_message_length: t.max,
    supports_draft_streaming: false,
    supports_edit: ops.includes("edit"),
    supports_threads: t.threads,
    markdown_dialect: t.dialect,
    len_unit: t.unit,
    emoji: t.emoji,
    pii_safe: t.pii_safe,
    supports_context: false,
    supports_inchannel_continuable: t.continuable,
    supports_block_formatting: false,
    supported_ops: ops.length > 0 ? [...ops] : ["send"],
  };
}

export type Identity = readonly [platform: string, botId: string];

/** Does this pair fit one that was provisioned? A bot id that either side left out fits any of the platform. */
const fits = (have: Identity, platform: string, botId: string): boolean =>
  have[0] === platform && (botId === "" || have[1] === "" || have[1] === botId);

/** What a greeting comes to: the platform to describe, and the provisioned identities it may use; none of a foreign one. */
export function greet(
  identities: readonly Identity[],
  platform: string,
  botId: string,
): { platform: string; usable: Identity[] } {
  // An unconfigured gateway: it speaks for all that its record allows (hermes-relay §3 point 4).
  if (platform === "relay") return { platform: identities[0]?.[0] ?? "relay", usable: [...identities] };
  const found = identities.find((i) => fits(i, platform, botId));
  return { platform, usable: found ? [found] : [] };
}

/**
 * The identity an outbound speaks for: the one it names, else the session's default, which is the first greeting. Null: not
 * provisioned, and never another's credential instead (§8).
 */
export function speaker(
  identities: readonly Identity[],
  greeted: Identity | null,
  platform: string | null | undefined,
  botId: string | null | undefined,
): Identity | null {
  const [wanted, bot] = platform ? [platform, botId ?? ""] : (greeted ?? identities[0] ?? ["", ""]);
  if (wanted === "relay") return identities[0] ?? null;
  return identities.find((i) => fits(i, wanted, bot)) ?? null;
}
