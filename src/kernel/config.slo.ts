import { type Variable, v } from "./config.variable";

/** Variables of the wake hooks and the wake SLO (wake-slo §1.3, §4). */
export const SLO_VARIABLES: Variable[] = [
  v(
    "REVEILLE_HOOK_KEY",
    "both",
    "AES-256 key, 64 hex digits, that seals the secrets of hooks, agents and wakes in their rows",
    { secret: true },
  ),
  v("REVEILLE_HOOK_KEY_OLD", "both", "The key before, while rotating: what it sealed still opens", { secret: true }),
  v("REVEILLE_HOOK_TOKEN", "edge", "Bearer token of hooks that have none of their own; unset = such a hook refuses", {
    secret: true,
  }),
  v("REVEILLE_HOOK_RATE", "edge", "Requests to wake hooks taken in any 60 s, refused ones included", { default: "30" }),
  v(
    "REVEILLE_HOOK_SOURCE_RATE",
    "edge",
    "The same for one address; a request without a valid secret counts three times",
    { default: "30" },
  ),
  v(
    "REVEILLE_SLO_RESPONDER_KEY",
    "consumer",
    "Key of the one agent that answers probes; with several, WAKE_SLO_KEY__<AGENT> each",
    { secret: true, aliases: ["WAKE_SLO_RESPONDER_API_KEY", "QOOPIA_API_KEY"] },
  ),
  v("REVEILLE_SLO_PEER_URL", "both", "Where probes are answered, unless the hook says otherwise: base of /mcp", {
    aliases: ["QOOPIA_PUBLIC_URL"],
    default: "http://127.0.0.1:3738",
  }),
  v(
    "REVEILLE_SLO_ALERT_AGENT",
    "consumer",
    "Agent that gets a message about each breach of the wake SLO; unset = none",
  ),
  v("REVEILLE_METRICS_TOKEN", "edge", "Bearer token of GET /metrics; the operator token opens it too", {
    secret: true,
  }),
];

const KEY_PREFIX = "WAKE_SLO_KEY__";

/** True for `WAKE_SLO_KEY__<AGENT>`: the key of one agent, held by the consumer alone. */
export const sloKeyName = (name: string): boolean => /^WAKE_SLO_KEY__[A-Z0-9_]{1,100}$/.test(name);

/** The binding of an agent's key: its name in upper case, runs of what is no letter or digit as one `_` (wake-slo §1.1). */
export const sloKeyFor = (agent: string): string =>
  KEY_PREFIX +
  agent
    .toUpperCase()
    .replace(/[^A-Z0-9]+/g, "_")
    .replace(/^_+|_+$/g, "");
