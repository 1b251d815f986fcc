-- Agents that announced themselves: what look-ups and pages read. The Agent object knows which line is live.
CREATE TABLE agent (
  address TEXT PRIMARY KEY,
  shape TEXT NOT NULL,          -- host (routes by session_id) | legacy (0.6.5: INPUT and OUTPUT only)
  summary TEXT NOT NULL,
  endpoints TEXT NOT NULL,      -- JSON array
  relay TEXT,                   -- the relay it says it uses
  profile TEXT,                 -- JSON, as announced
  online INTEGER NOT NULL,
  first_seen INTEGER NOT NULL,  -- Reveille ms, as all times here
  announced_at INTEGER NOT NULL,
  last_seen INTEGER NOT NULL    -- exact when offline, at most five minutes old while online
) WITHOUT ROWID;
CREATE INDEX agent_seen ON agent (last_seen);
