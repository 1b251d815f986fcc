import { all } from "../kernel/d1";
import { pushChannels } from "./channels";
import { type DeliverDeps, type DeliverOptions, type DeliverResult, deliver } from "./deliver";
import { readThreads } from "./notice.store";
import type { ChannelName, Notice } from "./types";

/**
 * Delivers a notice that belongs under earlier ones: to the channels that were told of its incident, in their threads. It
 * never starts a thread of its own: where nothing was pushed, it stands in the inbox alone.
 */
export async function deliverInThread(
  deps: DeliverDeps,
  notice: Notice,
  opts: Omit<DeliverOptions, "push" | "reason">,
): Promise<DeliverResult> {
  const { db, runtime } = deps;
  const channels = deps.channels ?? pushChannels(runtime);
  const incident = notice.incident_id;
  const told = incident === null ? new Set<ChannelName>() : await channelsTold(db, incident);
  const own = channels.filter((c) => told.has(c.name));
  if (own.length > 0) return deliver({ db, runtime, channels: own }, notice, opts);
  if (channels.length === 0) return deliver({ db, runtime, channels }, notice, opts);
  return deliver({ db, runtime, channels }, notice, { ...opts, push: false, reason: "nothing was pushed before it" });
}

/** Channels with a thread of the incident, and those without threads (a webhook) that took a notice of it. */
async function channelsTold(db: D1Database, incidentId: string): Promise<Set<ChannelName>> {
  const [threads, sent] = await Promise.all([
    readThreads(db, incidentId),
    all<{ channel: ChannelName }>(
      db
        .prepare(
          `SELECT DISTINCT channel FROM notice_attempt
           WHERE incident_id = ? AND channel <> 'inbox' AND state = 'sent' AND external_ref IS NULL`,
        )
        .bind(incidentId),
    ),
  ]);
  return new Set([...threads, ...sent].map((x) => x.channel));
}
