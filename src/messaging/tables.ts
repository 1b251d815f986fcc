/** Tables of a workspace's object. Ids rise with time, so that they order messages and old ones go by a range. */
export const SCHEMA = `
CREATE TABLE IF NOT EXISTS session (
  id TEXT PRIMARY KEY, topic TEXT NOT NULL, creator_id TEXT NOT NULL, metadata TEXT, created_ms INTEGER NOT NULL,
  closed_ms INTEGER, close_reason TEXT
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS message (
  id TEXT PRIMARY KEY, session_id TEXT NOT NULL, kind TEXT NOT NULL, from_id TEXT NOT NULL, from_name TEXT NOT NULL,
  to_id TEXT NOT NULL, to_name TEXT NOT NULL, body TEXT NOT NULL, metadata TEXT, parent_id TEXT, idem_key TEXT,
  created_ms INTEGER NOT NULL, delivered_ms INTEGER, acked_ms INTEGER, ack_status TEXT,
  wake TEXT, wake_made INTEGER, wake_attempts INTEGER NOT NULL DEFAULT 0, wake_next INTEGER, wake_lease INTEGER, wake_error TEXT
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS message_session ON message (session_id, id);
CREATE INDEX IF NOT EXISTS message_inbox ON message (to_id, id);
CREATE INDEX IF NOT EXISTS message_new ON message (to_id, id) WHERE delivered_ms IS NULL;
CREATE INDEX IF NOT EXISTS message_wake ON message (wake_next) WHERE wake_next IS NOT NULL;
CREATE TABLE IF NOT EXISTS idem (
  sender TEXT NOT NULL, key TEXT NOT NULL, content TEXT NOT NULL, asked TEXT, to_id TEXT, to_name TEXT, session_id TEXT NOT NULL,
  message_id TEXT, PRIMARY KEY (sender, key)
) WITHOUT ROWID;
`;
