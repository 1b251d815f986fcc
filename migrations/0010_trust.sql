-- Trust: who may be served, by level, by policy, and by whom it was decided.

-- One row a client (or a pattern of clients: `*` is the only wildcard). A mark is the time it was given, null = not given.
CREATE TABLE trust_client (
  client_id TEXT PRIMARY KEY,     -- 0x + 64 lower-case hex digits, or a pattern
  pattern INTEGER NOT NULL DEFAULT 0,
  contact INTEGER,
  whitelist INTEGER,
  blocked INTEGER,
  admin INTEGER,
  by TEXT NOT NULL,               -- who changed it last: an address, operator, api, or the rule
  via TEXT NOT NULL,              -- rule | invite | payment | admin | operator
  version INTEGER NOT NULL,       -- guards a change against another at the same moment
  updated_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX trust_pattern ON trust_client (client_id) WHERE pattern = 1;

-- What Reveille counted of a client: one row an hour, one write a decision.
CREATE TABLE trust_hour (
  client_id TEXT NOT NULL,
  hour INTEGER NOT NULL,          -- hours since 1970
  n INTEGER NOT NULL,
  denied INTEGER NOT NULL,
  llm INTEGER NOT NULL,           -- decided by tier two, whether asked now or kept
  last_at INTEGER NOT NULL,
  PRIMARY KEY (hour, client_id)
) WITHOUT ROWID;

-- The operator's own policy, every version kept; the newest counts. An empty text takes it back to the configured one.
CREATE TABLE trust_policy (
  version INTEGER PRIMARY KEY AUTOINCREMENT,
  text TEXT NOT NULL,
  hash TEXT NOT NULL,
  by TEXT NOT NULL,
  at INTEGER NOT NULL
);

-- Verdicts of tier two. The key holds level and policy, so another level or policy is never answered from here.
CREATE TABLE trust_verdict (
  key TEXT PRIMARY KEY,           -- sha256 of agent, client, level, policy hash
  client_id TEXT NOT NULL,
  allow INTEGER NOT NULL,
  reason TEXT NOT NULL,
  at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX trust_verdict_client ON trust_verdict (client_id);

-- What a rule or tier two suggests and only an admin can do.
CREATE TABLE trust_proposal (
  id TEXT PRIMARY KEY,
  client_id TEXT NOT NULL,
  action TEXT NOT NULL,           -- promote | block
  level TEXT NOT NULL,            -- the client's when it was suggested; another one makes it stale
  reason TEXT NOT NULL,
  by TEXT NOT NULL,               -- llm | rule
  state TEXT NOT NULL,            -- pending | confirmed | rejected
  created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  decided_at INTEGER,
  decided_by TEXT
) WITHOUT ROWID;
CREATE UNIQUE INDEX trust_proposal_open ON trust_proposal (client_id, action) WHERE state = 'pending';

-- A payment opens the door once.
CREATE TABLE trust_payment (
  reference TEXT PRIMARY KEY,     -- the verifier's name of the transfer
  client_id TEXT NOT NULL,
  amount REAL NOT NULL,
  at INTEGER NOT NULL
) WITHOUT ROWID;

-- Signatures of trust requests that were used; kept until their own time window is over.
CREATE TABLE trust_used (
  signature_hash TEXT PRIMARY KEY,
  expires_at INTEGER NOT NULL
) WITHOUT ROWID;
