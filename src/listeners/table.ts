import { DAY, HOUR, MINUTE, SECOND } from "../kernel/clock";
import { type Home, type Listener, makeRegistry, type Registry } from "./registry";

interface More {
  every?: number;
  phase?: number;
  fatal?: true;
  home?: Home;
  /** false: not built yet. */
  installed?: false;
}

const row = (name: string, what: string, more: More = {}): Listener => ({
  name,
  interval_s: more.every === undefined ? null : more.every / SECOND,
  phase_s: (more.phase ?? 0) / SECOND,
  fatal: more.fatal ?? false,
  installed: more.installed ?? true,
  home: more.home ?? "edge",
  what,
});

/** The promote loops run in the small hours of UTC, ten minutes apart: none waits for another's reading. */
const promote = (nth: number) => ({
  every: DAY,
  phase: 4 * HOUR + MINUTE + nth * 10 * MINUTE,
  home: "consumer" as const,
});

/**
 * Every row of the table in `kora-watch.md` §9, in its start order, then our own. The phases keep the busiest minute of 1,000
 * targets at 16 rows written (design §3): ten packs, two of the cycle, and four marks of listeners.
 */
export const LISTENERS: Listener[] = [
  row("heartbeat", "The minute tick that everything periodic hangs on", { every: MINUTE }),
  row("web", "Operator pages and API", { fatal: true }),
  row("mcp", "Tools for agents at /mcp", { fatal: true }),
  row("webhooks", "Signed webhooks of the chat platforms", { fatal: true }),
  row("mcp_consumption", "Health of the MCP servers we use", { every: 5 * MINUTE, phase: MINUTE, home: "consumer" }),
  row("heartbeat_probes", "Looks at every due target", { every: MINUTE }),
  row("reasoning_engine", "The model that investigates; `none` is a valid choice", { fatal: true, home: "consumer" }),
  row("slack_client", "Notices to Slack", { home: "consumer" }),
  row("purelymail_client", "Notices by mail", { home: "consumer" }),
  row("email_inbound_imap", "Mail from the operator, handed over by Email Routing", { home: "consumer" }),
  row("alert_notifier", "Judges Reveille's own rules: dead letters, refused acts, failed notices, budget", {
    every: 3 * MINUTE,
    phase: MINUTE,
  }),
  row("snapshot", "Status worked out ahead for free answers", { every: 5 * MINUTE, phase: 4 * MINUTE }),
  row("cost_telemetry", "Brings the budget and its rows together after crashes", {
    every: 5 * MINUTE,
    phase: 3 * MINUTE,
  }),
  row("probe_wake", "Takes wakes off the queue: notice first, then investigation", {
    every: 5 * MINUTE,
    home: "consumer",
  }),
  row("promote_phrasebook", "Proposes answers that need no model", promote(0)),
  row("promote_snapshot_expand", "Proposes new snapshot fields", promote(1)),
  row("promote_router_tuning", "Proposes changes of the model router", promote(2)),
  row("promote_tool_trimming", "Proposes tools a route can do without", promote(3)),
  row("promote_probe_fix_envelopes", "Proposes fixes for faults that come again", promote(4)),
  row("promote_email_intent", "Proposes patterns for mails from the operator", promote(5)),
  row("alert_wake", "Wakes of Reveille's own rules; merged into probe_wake", { home: "consumer" }),

  row("rollup", "Counts finished hours and days of the history", { every: 5 * MINUTE, phase: 2 * MINUTE }),
  row("sweeper", "Sends wakes again that were lost on the way", { every: MINUTE }),
  row("dead_man", "The alarm that watches the cron", { every: 2 * MINUTE }),
  row("slo_prober", "Probes whether agents wake, in both directions", { home: "consumer" }),
  row("retention", "Deletes looks older than 14 days", { every: DAY, phase: 3 * HOUR + 8 * MINUTE }),
  row("media", "Deletes re-hosted files whose hour is over", { every: HOUR, phase: 15 * MINUTE }),
  row("digest", "The daily digest of what was not urgent", { every: DAY, phase: 8 * HOUR }),
];

export const registry: Registry = makeRegistry(LISTENERS);
