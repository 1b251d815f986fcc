-- The watch: targets, their state, packed samples and rollups, incidents, wakes.
-- Times are integer milliseconds since 1970 UTC unless a name ends in _s (seconds).
-- Tables without a rowid and with few indexes: an index entry is billed as a row written.

CREATE TABLE target (
  num INTEGER PRIMARY KEY AUTOINCREMENT, -- short number used inside packs; never reused
  id TEXT NOT NULL UNIQUE,
  name TEXT NOT NULL,
  kind TEXT NOT NULL,
  every_s INTEGER NOT NULL,
  config TEXT NOT NULL,
  credentials TEXT NOT NULL, -- binding names, never values
  thresholds TEXT NOT NULL,
  paused INTEGER NOT NULL DEFAULT 0,
  muted_until INTEGER,
  source TEXT NOT NULL, -- api | seed | builtin
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
);

-- Written only by the Target object (the row itself is created with its target).
-- `version` is the optimistic lock of every commit: a commit sets NULL when it does not match, and NOT NULL aborts the batch.
CREATE TABLE target_state (
  target_id TEXT PRIMARY KEY,
  version INTEGER NOT NULL,
  phase TEXT NOT NULL, -- steady | suspect | open
  status TEXT NOT NULL,
  reason TEXT NOT NULL,
  since INTEGER NOT NULL,
  next_look_at INTEGER, -- set while the object looks by itself
  not_before INTEGER,   -- widened interval after 429
  incident_id TEXT,
  machine TEXT NOT NULL
) WITHOUT ROWID;

-- A ring of 14 days: slot = minute of the cycle modulo 20160, so retention costs no delete.
CREATE TABLE watch_pack (
  slot INTEGER NOT NULL,
  shard INTEGER NOT NULL,
  cycle_at INTEGER NOT NULL,
  n INTEGER NOT NULL,
  data TEXT NOT NULL,
  PRIMARY KEY (slot, shard)
) WITHOUT ROWID;

-- Rings of 400 days: grain 'h' slot = hour modulo 9600; grain 'd' slot = day modulo 400.
CREATE TABLE watch_rollup (
  grain TEXT NOT NULL,
  slot INTEGER NOT NULL,
  part INTEGER NOT NULL,
  at INTEGER NOT NULL,
  data TEXT NOT NULL,
  PRIMARY KEY (grain, slot, part)
) WITHOUT ROWID;

-- Looks made by Target objects while suspect or open, and "look now".
CREATE TABLE watch_look (
  num INTEGER NOT NULL,
  at INTEGER NOT NULL,
  status TEXT NOT NULL,
  reason TEXT NOT NULL,
  latency_ms INTEGER,
  maintenance INTEGER NOT NULL DEFAULT 0,
  rehearsal INTEGER NOT NULL DEFAULT 0,
  details TEXT,
  error TEXT,
  PRIMARY KEY (num, at)
) WITHOUT ROWID;

-- One row: the cycle lease and the last tick (overlap guard, catch-up, dead man).
CREATE TABLE cycle (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  tick_at INTEGER NOT NULL,
  lease_until INTEGER NOT NULL,
  finished_at INTEGER NOT NULL,
  due INTEGER NOT NULL,
  shards INTEGER NOT NULL,
  ms INTEGER NOT NULL,
  rows_written INTEGER NOT NULL
);
INSERT INTO cycle VALUES (1, 0, 0, 0, 0, 0, 0, 0);

-- What a probe remembers between looks (Sentry totals for the median, Vercel/Supabase "since" marks). Written when it changes.
CREATE TABLE probe_memory (
  num INTEGER PRIMARY KEY,
  data TEXT NOT NULL,
  updated_at INTEGER NOT NULL
);

CREATE TABLE heartbeat (
  num INTEGER PRIMARY KEY,
  last_at INTEGER,
  last_kind TEXT, -- success | start | fail
  started_at INTEGER,
  ok_at INTEGER,
  duration_ms INTEGER,
  note TEXT
);

CREATE TABLE maintenance (
  id TEXT PRIMARY KEY,
  targets TEXT NOT NULL, -- JSON array of target ids, or ["*"]
  starts_at INTEGER,     -- one-off window
  ends_at INTEGER,
  cron TEXT,             -- or a cron start with a duration
  duration_s INTEGER,
  zone TEXT NOT NULL DEFAULT 'UTC',
  reason TEXT NOT NULL,
  created_by TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  ended_at INTEGER
);

CREATE TABLE incident (
  id TEXT PRIMARY KEY,
  target_id TEXT NOT NULL,
  target_name TEXT NOT NULL,
  kind TEXT NOT NULL,
  category TEXT NOT NULL,
  signal TEXT,
  severity TEXT NOT NULL,
  title TEXT NOT NULL,
  detail TEXT NOT NULL,
  rehearsal INTEGER NOT NULL DEFAULT 0,
  first_bad_at INTEGER NOT NULL,
  opened_at INTEGER NOT NULL,
  confirmed_by TEXT NOT NULL,
  acked_at INTEGER,
  acked_by TEXT,
  snooze_until INTEGER,
  resolved_at INTEGER,
  resolution TEXT,
  flapping INTEGER NOT NULL DEFAULT 0,
  flaps INTEGER NOT NULL DEFAULT 0,
  investigations INTEGER NOT NULL DEFAULT 0,
  cost_usd REAL NOT NULL DEFAULT 0,
  first_snapshot TEXT NOT NULL,
  last_snapshot TEXT NOT NULL,
  version INTEGER NOT NULL
);
CREATE UNIQUE INDEX incident_open ON incident (target_id, category) WHERE resolved_at IS NULL;
CREATE INDEX incident_target ON incident (target_id, opened_at);
CREATE INDEX incident_time ON incident (opened_at);

-- The transactional outbox: inserted in the batch that changes the incident; the consumer changes only stage columns.
CREATE TABLE wake (
  wake_id TEXT PRIMARY KEY,
  kind TEXT NOT NULL,  -- incident | message | autofix
  event TEXT NOT NULL, -- opened | raised | recovered | flapping | settled | reminder | acked | snoozed | summary | digest
  incident_id TEXT,
  target_id TEXT,
  category TEXT,
  severity TEXT,
  incident_version INTEGER,
  payload TEXT NOT NULL,
  stage TEXT NOT NULL DEFAULT 'new', -- new | claimed | plain_noticed | reserved | investigated | noticed | dead
  created_at INTEGER NOT NULL,
  next_at INTEGER NOT NULL, -- the sweeper sends the wake (again) when this has passed and it is not done
  attempts INTEGER NOT NULL DEFAULT 0,
  claimed_by TEXT,
  claimed_at INTEGER,
  lease_until INTEGER,
  plain_noticed_at INTEGER,
  reserved_at INTEGER,
  investigated_at INTEGER,
  done_at INTEGER,
  deferred_until INTEGER, -- held back by the debounce
  folded_into TEXT,       -- told as part of this summary wake
  dm_status TEXT,
  reasoning_error TEXT,
  last_error TEXT,
  UNIQUE (incident_id, event, incident_version)
);
CREATE INDEX wake_due ON wake (next_at) WHERE done_at IS NULL;
CREATE INDEX wake_time ON wake (created_at);
