-- Sessions: what pages and lists need; the Session object is the truth (design §3).
CREATE TABLE session_index (
  id TEXT PRIMARY KEY,
  owner TEXT,              -- address that ran it first
  agent TEXT NOT NULL,     -- address that answers it
  status TEXT NOT NULL,    -- running | waiting_approval | done | failed | interrupted
  updated INTEGER NOT NULL -- Reveille ms
) WITHOUT ROWID;
CREATE INDEX session_owner ON session_index (owner, updated);
