-- Wake hooks, the SLO's probes and objectives, the agents of the embedded messaging. Times are Reveille ms unless a name says wall.

CREATE TABLE hook (
  id TEXT PRIMARY KEY,
  title TEXT NOT NULL,
  description TEXT NOT NULL DEFAULT '',
  mode TEXT NOT NULL DEFAULT 'wake', -- wake | cron_task
  template TEXT NOT NULL DEFAULT '',
  enabled INTEGER NOT NULL DEFAULT 1,
  agent_id TEXT NOT NULL,            -- whom the hook wakes: the id its senders use
  agent_name TEXT NOT NULL,
  recipient TEXT NOT NULL,           -- JSON: {kind: builtin | gateway | agent | webhook | mail, ...}: where a real message goes
  auth_mode TEXT NOT NULL DEFAULT 'bearer', -- bearer | hmac
  secrets TEXT NOT NULL,             -- JSON array of {sealed, created_at, retire_at}, newest first; at most two live
  hmac TEXT NOT NULL DEFAULT '{}',   -- JSON: header, algorithm, encoding, sig_prefix, sig_regex, payload_prefix_regex
  quiet TEXT NOT NULL DEFAULT '{}',  -- JSON: start, end, zone; cron_task alone
  slo TEXT NOT NULL DEFAULT '{}',    -- JSON: peer_url, ack_mode, key_ref, extended_reply, enabled, sealed_key
  limits TEXT NOT NULL DEFAULT '{}', -- JSON: per_minute, max_body_bytes
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  trigger_count INTEGER NOT NULL DEFAULT 0,
  last_triggered_at INTEGER,
  last_status TEXT,
  last_error TEXT
) WITHOUT ROWID;

-- A real message that a hook took: the promise behind `accepted:true`.
CREATE TABLE message_wake (
  wake_id TEXT PRIMARY KEY,  -- hook:{hook}:{message id}, or of the body's hash where there is no id
  hook_id TEXT NOT NULL,
  payload TEXT NOT NULL,     -- JSON as received, probes taken out
  via TEXT NOT NULL,         -- hook | fall_through
  state TEXT NOT NULL,       -- new | claimed | delivered | dead
  received_at INTEGER NOT NULL,
  next_at INTEGER NOT NULL,  -- the sweeper sends it (again) when this has passed
  lease_until INTEGER,
  claimed_by TEXT,
  attempts INTEGER NOT NULL DEFAULT 0,
  delivered_at INTEGER,
  result TEXT,               -- what the recipient said, in a word
  last_error TEXT
) WITHOUT ROWID;
CREATE INDEX message_wake_due ON message_wake (next_at) WHERE state IN ('new', 'claimed');
CREATE INDEX message_wake_time ON message_wake (received_at);

-- Which wake carries which message of a sender: a repeated push may carry more messages than the first, and none may be lost or doubled.
CREATE TABLE hook_message (
  hook_id TEXT NOT NULL,
  message_id TEXT NOT NULL,
  wake_id TEXT NOT NULL,
  at INTEGER NOT NULL,
  PRIMARY KEY (hook_id, message_id)
) WITHOUT ROWID;

-- A probe that a hook took and that has not ended: the promise behind `accepted:true` for it. Few rows, so no index.
CREATE TABLE slo_inbox (
  agent_id TEXT NOT NULL,
  message_id TEXT NOT NULL,  -- its hash where it has odd characters
  probe TEXT NOT NULL,       -- JSON: the message of queue slo
  next_at INTEGER NOT NULL,  -- the sweeper sends it (again) when this has passed
  PRIMARY KEY (agent_id, message_id)
) WITHOUT ROWID;

-- Who probes whom, and how.
CREATE TABLE slo_direction (
  code TEXT PRIMARY KEY,     -- C2L | L2C
  from_agent TEXT NOT NULL,  -- agent id at the peer
  to_agent TEXT NOT NULL,
  peer_kind TEXT NOT NULL,   -- qoopia | embedded
  peer_url TEXT NOT NULL,
  key_ref TEXT,              -- binding of the prober's key, or NULL: sealed_key
  sealed_key TEXT,
  pong TEXT NOT NULL DEFAULT 'hook', -- hook: the prober's own hook takes it | inbox: of an identity nobody else uses
  every_s INTEGER NOT NULL DEFAULT 900,
  offset_s INTEGER NOT NULL DEFAULT 0,
  paused INTEGER NOT NULL DEFAULT 0,
  lease_until INTEGER,
  last_slot INTEGER,         -- -1: asked to run at once
  updated_at INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE wake_slo_probes (
  id TEXT PRIMARY KEY,
  direction TEXT NOT NULL CHECK (direction IN ('C2L', 'L2C')),
  started_at_ms INTEGER NOT NULL,
  topic TEXT NOT NULL UNIQUE,
  session_id TEXT,
  message_id TEXT,
  wake_attempted INTEGER NOT NULL DEFAULT 0,
  wake_ok INTEGER NOT NULL DEFAULT 0,
  l1_ms INTEGER,             -- from started_at_ms on the prober's own clock, as all four
  l2_ms INTEGER,
  l3_ms INTEGER,
  l4_ms INTEGER,
  l2_known INTEGER NOT NULL DEFAULT 1,
  level INTEGER NOT NULL DEFAULT 0 CHECK (level BETWEEN 0 AND 4),
  status TEXT NOT NULL,      -- running | ok | failed
  error_class TEXT,
  attempts INTEGER NOT NULL DEFAULT 1,
  peer_kind TEXT NOT NULL,
  responder_status TEXT,
  finished_at_ms INTEGER
) WITHOUT ROWID;
CREATE INDEX wake_slo_time ON wake_slo_probes (direction, started_at_ms DESC);
CREATE INDEX wake_slo_class ON wake_slo_probes (error_class) WHERE error_class IS NOT NULL;

-- Answers to our own probes that a hook took off the wake: the prober's own sight of them.
CREATE TABLE slo_pong (
  message_id TEXT PRIMARY KEY,
  probe_id TEXT NOT NULL,
  session_id TEXT NOT NULL,
  body TEXT NOT NULL,
  seen_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX slo_pong_probe ON slo_pong (probe_id);

CREATE TABLE wake_slo_hour (
  direction TEXT NOT NULL,
  hour INTEGER NOT NULL,     -- hours since 1970
  data TEXT NOT NULL,        -- JSON: n, failed, classes, exact latencies per level
  PRIMARY KEY (direction, hour)
) WITHOUT ROWID;

CREATE TABLE slo_mute (
  reason TEXT NOT NULL,
  direction TEXT NOT NULL,
  muted_until INTEGER NOT NULL,
  PRIMARY KEY (reason, direction)
) WITHOUT ROWID;

-- Counters of /metrics: responder and wake push outcomes, a row per day.
CREATE TABLE slo_count (
  day INTEGER NOT NULL,
  name TEXT NOT NULL,        -- responder:{agent}:{status} | push:{agent}:{result}
  n INTEGER NOT NULL,
  PRIMARY KEY (day, name)
) WITHOUT ROWID;

-- Agents of the embedded messaging. Their sessions and messages live in the Workspace object.
CREATE TABLE msg_agent (
  id TEXT PRIMARY KEY,
  workspace TEXT NOT NULL,
  name TEXT NOT NULL,
  owner TEXT NOT NULL,
  type TEXT NOT NULL DEFAULT 'agent',
  tool_profile TEXT NOT NULL DEFAULT 'standard', -- standard | read_only | steward
  key_hash TEXT NOT NULL UNIQUE,                 -- SHA-256 of the key; shown once
  old_key_hash TEXT,
  old_key_until INTEGER,
  wake_url TEXT,
  wake_auth TEXT NOT NULL DEFAULT 'hmac',        -- hmac | bearer
  wake_secret TEXT,                              -- sealed
  active INTEGER NOT NULL DEFAULT 1,
  created_at INTEGER NOT NULL,
  last_seen INTEGER
) WITHOUT ROWID;
CREATE INDEX msg_agent_workspace ON msg_agent (workspace, name);
CREATE INDEX msg_agent_old_key ON msg_agent (old_key_hash) WHERE old_key_hash IS NOT NULL;
