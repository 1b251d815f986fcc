import { all, marks } from "../kernel/d1";

/** What became of one notice on one channel, from its tries. */
export interface ChannelState {
  channel: string;
  /** The newest try's state. */
  state: string;
  tries: number;
  error: string | null;
  at: number;
}

export interface InboxNotice {
  id: string;
  incident_id: string | null;
  target_id: string | null;
  wake_id: string | null;
  event: string;
  severity: string;
  title: string;
  body: string;
  rehearsal: boolean;
  dm_status: string | null;
  created_at: number;
  read_at: number | null;
  channels: ChannelState[];
}

/** Notices of one incident (or one notice without an incident), newest first. */
export interface InboxThread {
  key: string;
  incident_id: string | null;
  notices: InboxNotice[];
}

type NoticeRow = Omit<InboxNotice, "channels" | "rehearsal"> & { rehearsal: number };
interface AttemptRow {
  notice_id: string;
  channel: string;
  n: number;
  state: string;
  started_at: number;
  error: string | null;
}

/** A page of notices grouped by incident, newest first. `before` is the `created_at` of the last one seen. */
export async function readInbox(
  db: D1Database,
  before: number | null,
  limit: number,
): Promise<{ threads: InboxThread[]; next: number | null }> {
  const rows = await all<NoticeRow>(
    db
      .prepare("SELECT * FROM notice WHERE created_at < ? ORDER BY created_at DESC, id DESC LIMIT ?")
      .bind(before ?? Number.MAX_SAFE_INTEGER, limit + 1),
  );
  const page = rows.slice(0, limit);
  const channels = await readChannels(
    db,
    page.map((r) => r.id),
  );
  const threads = new Map<string, InboxThread>();
  for (const row of page) {
    const key = row.incident_id ?? row.id;
    const thread = threads.get(key) ?? { key, incident_id: row.incident_id, notices: [] };
    thread.notices.push({ ...row, rehearsal: row.rehearsal === 1, channels: channels.get(row.id) ?? [] });
    threads.set(key, thread);
  }
  return { threads: [...threads.values()], next: rows.length > limit ? (page.at(-1)?.created_at ?? null) : null };
}

async function readChannels(db: D1Database, ids: string[]): Promise<Map<string, ChannelState[]>> {
  const out = new Map<string, ChannelState[]>();
  for (let i = 0; i < ids.length; i += 100) {
    const part = ids.slice(i, i + 100);
    const rows = await all<AttemptRow>(
      db
        .prepare(
          `SELECT notice_id, channel, n, state, started_at, error FROM notice_attempt
           WHERE notice_id IN (${marks(part.length)}) ORDER BY id`,
        )
        .bind(...part),
    );
    for (const r of rows) {
      const list = out.get(r.notice_id) ?? [];
      out.set(r.notice_id, list);
      const known = list.find((c) => c.channel === r.channel);
      const state = { channel: r.channel, state: r.state, tries: r.n, error: r.error, at: r.started_at };
      if (known) Object.assign(known, state);
      else list.push(state);
    }
  }
  return out;
}

/** Marks notices read: those of one incident, one notice, or all when `key` is null. Returns how many changed. */
export async function markRead(db: D1Database, key: string | null, now: number): Promise<number> {
  const statement =
    key === null
      ? db.prepare("UPDATE notice SET read_at = ? WHERE read_at IS NULL").bind(now)
      : db
          .prepare("UPDATE notice SET read_at = ?1 WHERE read_at IS NULL AND (incident_id = ?2 OR id = ?2)")
          .bind(now, key);
  return (await statement.run()).meta.changes ?? 0;
}
