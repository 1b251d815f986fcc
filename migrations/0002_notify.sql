-- What operators receive, every try of it, and the rows that prove what happened.

CREATE TABLE notice (
  id TEXT PRIMARY KEY,
  wake_id TEXT UNIQUE,
  incident_id TEXT,
  target_id TEXT,
  event TEXT NOT NULL,
  severity TEXT NOT NULL,
  title TEXT NOT NULL,
  body TEXT NOT NULL,
  rehearsal INTEGER NOT NULL DEFAULT 0,
  dm_status TEXT,
  created_at INTEGER NOT NULL,
  read_at INTEGER
);
CREATE INDEX notice_time ON notice (created_at);
CREATE INDEX notice_incident ON notice (incident_id, created_at);

-- One row per try. It is inserted as `sending` before the call leaves, so a crash is seen as `unknown`, never as "not sent".
CREATE TABLE notice_attempt (
  id INTEGER PRIMARY KEY,
  notice_id TEXT NOT NULL,
  incident_id TEXT,
  wake_id TEXT,
  channel TEXT NOT NULL,
  n INTEGER NOT NULL,
  state TEXT NOT NULL, -- sending | sent | failed | unknown | suppressed
  started_at INTEGER NOT NULL,
  finished_at INTEGER,
  external_ref TEXT,
  error TEXT,
  UNIQUE (notice_id, channel, n)
);
CREATE INDEX notice_attempt_incident ON notice_attempt (incident_id);
CREATE INDEX notice_attempt_failed ON notice_attempt (channel, started_at) WHERE state IN ('failed', 'unknown');

-- Where an incident's thread lives in a channel; the root message is edited as the incident moves on.
CREATE TABLE notice_thread (
  incident_id TEXT NOT NULL,
  channel TEXT NOT NULL,
  ref TEXT NOT NULL,
  root TEXT NOT NULL, -- JSON of the root notice as last shown
  PRIMARY KEY (incident_id, channel)
) WITHOUT ROWID;

-- A button carries only this opaque id.
CREATE TABLE notice_action (
  id TEXT PRIMARY KEY,
  incident_id TEXT NOT NULL,
  action TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  used_at INTEGER,
  used_by TEXT
) WITHOUT ROWID;

-- Last wake that reached an operator, per target and category: the debounce.
CREATE TABLE wake_debounce (
  target_id TEXT NOT NULL,
  category TEXT NOT NULL,
  sent_at INTEGER NOT NULL,
  wake_id TEXT NOT NULL,
  PRIMARY KEY (target_id, category)
) WITHOUT ROWID;

CREATE TABLE audit (
  id INTEGER PRIMARY KEY,
  emitted_at INTEGER NOT NULL,
  seam TEXT NOT NULL,
  source TEXT,
  session_id TEXT,
  incident_id TEXT,
  wake_id TEXT,
  details TEXT NOT NULL
);
CREATE INDEX audit_seam ON audit (seam, id);
CREATE INDEX audit_session ON audit (session_id, id) WHERE session_id IS NOT NULL;
CREATE INDEX audit_incident ON audit (incident_id, id) WHERE incident_id IS NOT NULL;
CREATE INDEX audit_wake ON audit (wake_id, id) WHERE wake_id IS NOT NULL;

CREATE TABLE dead_letter (
  id TEXT PRIMARY KEY,
  kind TEXT NOT NULL,
  ref TEXT,
  reason TEXT NOT NULL,
  payload TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  replayed_at INTEGER,
  replayed_by TEXT
) WITHOUT ROWID;
CREATE INDEX dead_letter_time ON dead_letter (created_at);

CREATE TABLE listener_state (
  name TEXT PRIMARY KEY,
  last_run_at INTEGER NOT NULL,
  last_ok_at INTEGER,
  consecutive_errors INTEGER NOT NULL DEFAULT 0,
  last_error TEXT,
  note TEXT
) WITHOUT ROWID;

CREATE TABLE login_code (
  hash TEXT PRIMARY KEY,
  created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  used_at INTEGER
) WITHOUT ROWID;

CREATE TABLE operator_session (
  hash TEXT PRIMARY KEY,
  created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL
) WITHOUT ROWID;
