import { DAY } from "../kernel/clock";
import type { Destination } from "./types";

/** Which instance asked: a press goes there (hermes-relay §8.1). Kept for a day. */

/**
 * Written before the message, as a press may come at once. False: another instance asked under this id in this chat, and its
 * buttons must not come to answer to us. `now`: Reveille ms.
 */
export async function rememberPrompt(
  db: D1Database,
  to: Destination,
  at: { platform: string; chat_id: string; prompt_id: string },
  labels: Record<string, string>,
  now: number,
): Promise<boolean> {
  const { meta } = await db
    .prepare(
      `INSERT INTO prompt (platform, chat_id, prompt_id, tenant, instance, message_id, labels, expires_at)
       VALUES (?, ?, ?, ?, ?, NULL, ?, ?)
       ON CONFLICT (platform, chat_id, prompt_id) DO UPDATE SET
         tenant = excluded.tenant, instance = excluded.instance, labels = excluded.labels, expires_at = excluded.expires_at
       WHERE (tenant = excluded.tenant AND instance = excluded.instance) OR expires_at <= ?`,
    )
    .bind(at.platform, at.chat_id, at.prompt_id, to.tenant, to.instance, JSON.stringify(labels), now + DAY, now)
    .run();
  return meta.changes > 0;
}

/** Where it was really shown: a DM that was opened by a person's id has an id of its own. */
export async function placePrompt(
  db: D1Database,
  at: { platform: string; chat_id: string; prompt_id: string },
  chatId: string,
  messageId: string | null,
): Promise<void> {
  await db
    .prepare(
      "UPDATE OR REPLACE prompt SET chat_id = ?, message_id = ? WHERE platform = ? AND chat_id = ? AND prompt_id = ?",
    )
    .bind(chatId, messageId, at.platform, at.chat_id, at.prompt_id)
    .run();
}

/** It was certainly never shown. */
export async function forgetPrompt(
  db: D1Database,
  at: { platform: string; chat_id: string; prompt_id: string },
): Promise<void> {
  await db
    .prepare("DELETE FROM prompt WHERE platform = ? AND chat_id = ? AND prompt_id = ? AND message_id IS NULL")
    .bind(at.platform, at.chat_id, at.prompt_id)
    .run();
}

export async function expirePrompts(db: D1Database, now: number): Promise<void> {
  await db.prepare("DELETE FROM prompt WHERE expires_at <= ?").bind(now).run();
}
