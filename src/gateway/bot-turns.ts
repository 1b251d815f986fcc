import { MINUTE } from "../kernel/clock";
import { type Buffer, dayOf } from "./buffer";
import type { StoredEvent } from "./types";

/** Two bots that answer each other would never stop: their turns in one thread have a limit (chat-platforms §0). */
export const BOT_TURNS_A_MINUTE = 6;

/** `seq` is Reveille ms times this (see buffer.ts). */
const PER_MS = 256;

/** The thread an event belongs to. */
export const threadOf = ({ platform, event: { source } }: StoredEvent): string =>
  JSON.stringify([platform, source.chat_id, source.thread_id]);

/**
 * How many events of other bots were stored in this event's thread within the last minute. Counted from the rows, so that an object
 * that slept between two turns still knows.
 */
export function botTurns({ sql, days }: Buffer, stored: StoredEvent, now: number): number {
  const { chat_id, thread_id } = stored.event.source;
  const from = (now - MINUTE) * PER_MS;
  let turns = 0;
  for (const day of days) {
    if (day < dayOf(from)) continue;
    turns += sql
      .exec<{ n: number }>(
        `SELECT COUNT(*) AS n FROM buf_${day}
         WHERE seq > ? AND platform = ? AND chat = ? AND frame <> ''
           AND json_extract(frame, '$.event.source.is_bot') = 1
           AND json_extract(frame, '$.event.source.thread_id') IS ?`,
        from,
        stored.platform,
        chat_id,
        thread_id,
      )
      .one().n;
  }
  return turns;
}
