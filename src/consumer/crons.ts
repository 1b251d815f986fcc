/**
 * The consumer's Cron Triggers, as in wrangler.consumer.toml: it says how it is on each fifth minute, and runs its listeners a
 * minute later, because rows written are budgeted by the minute (design §3) and the other minutes are taken.
 */
export const REPORT_CRON = "*/5 * * * *";
export const TASKS_CRON = "1-59/5 * * * *";
/** The prober's minute; it writes nothing while no direction is due. */
export const PROBER_CRON = "* * * * *";
