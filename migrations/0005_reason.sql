-- Reasoning: what it cost, what it found, what it may fix, what it proposes.

-- One row a call, written when it is settled. The Budget object is the truth of what may still be spent; this is the record.
CREATE TABLE cost (
  call_id TEXT PRIMARY KEY,
  at INTEGER NOT NULL,
  route TEXT NOT NULL,
  provider TEXT NOT NULL,
  model TEXT NOT NULL,
  input_tokens INTEGER NOT NULL,
  output_tokens INTEGER NOT NULL,
  cache_write_tokens INTEGER NOT NULL,
  cache_read_tokens INTEGER NOT NULL,
  usd REAL,            -- null = not priced
  ms INTEGER NOT NULL,
  error TEXT,
  escalated TEXT,      -- why the large model was asked, or null
  incident_id TEXT,
  wake_id TEXT
) WITHOUT ROWID;
CREATE INDEX cost_time ON cost (at);
CREATE INDEX cost_incident ON cost (incident_id) WHERE incident_id IS NOT NULL;

-- One row an investigated wake, in the batch that moves the wake to `investigated`.
CREATE TABLE investigation (
  wake_id TEXT PRIMARY KEY,
  incident_id TEXT NOT NULL,
  at INTEGER NOT NULL,
  result TEXT,         -- JSON by schema, or null when reasoning failed
  error TEXT,          -- reasoning_error
  evidence TEXT NOT NULL, -- JSON: the evidence rows shown to the model, by id
  dropped INTEGER NOT NULL DEFAULT 0, -- claims without valid evidence
  guess INTEGER NOT NULL DEFAULT 0,
  model TEXT,
  usd REAL,
  ms INTEGER NOT NULL,
  prompt_hash TEXT,
  identity_hash TEXT
) WITHOUT ROWID;
CREATE INDEX investigation_incident ON investigation (incident_id, at);

-- One row a fix. The key is inserted before the vendor call: UNIQUE, so two parallel calls are one request.
CREATE TABLE autofix (
  key TEXT PRIMARY KEY, -- autofix:{incident}:{action}:{target}
  incident_id TEXT NOT NULL,
  wake_id TEXT,
  probe TEXT NOT NULL,
  action TEXT NOT NULL,
  app TEXT NOT NULL,
  machine TEXT NOT NULL,
  mode TEXT NOT NULL,     -- dry_run | approve | auto
  state TEXT NOT NULL,    -- planned | waiting | approved | denied | expired | running | done | failed | unknown_outcome
  request TEXT NOT NULL,  -- the exact request, without credential
  before_state TEXT,
  after_state TEXT,
  outcome TEXT,           -- recovered | no_change | worse
  error TEXT,
  by TEXT,
  created_at INTEGER NOT NULL,
  expires_at INTEGER,
  started_at INTEGER,
  finished_at INTEGER,
  lease TEXT
) WITHOUT ROWID;
CREATE INDEX autofix_time ON autofix (created_at);
CREATE INDEX autofix_incident ON autofix (incident_id);

-- Single-use approvals, bound to incident + target + action. The button and the link carry only `id`.
CREATE TABLE approval (
  id TEXT PRIMARY KEY,
  autofix_key TEXT NOT NULL,
  incident_id TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  used_at INTEGER,
  used_by TEXT,
  answer TEXT -- approve | deny
) WITHOUT ROWID;
CREATE INDEX approval_key ON approval (autofix_key);

-- Promote loops: the key is hash(loop, cluster), so a proposal is updated in place and a rejection is remembered 90 days.
CREATE TABLE proposal (
  key TEXT PRIMARY KEY,
  loop TEXT NOT NULL,
  title TEXT NOT NULL,
  body TEXT NOT NULL, -- JSON
  state TEXT NOT NULL, -- pending | approved | rejected | expired
  seen INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  decided_at INTEGER,
  decided_by TEXT
) WITHOUT ROWID;
CREATE INDEX proposal_state ON proposal (state, updated_at);

-- What an approved phrasebook or mail-intent proposal adds: vocabulary, nothing that acts.
CREATE TABLE vocabulary (
  id TEXT PRIMARY KEY,
  kind TEXT NOT NULL, -- phrase | email_intent | fix | snapshot_field | router | tool_trim
  body TEXT NOT NULL, -- JSON
  proposal_key TEXT,
  created_at INTEGER NOT NULL
) WITHOUT ROWID;

-- Questions to the built-in agent and their answers.
CREATE TABLE ask (
  id TEXT PRIMARY KEY,
  source TEXT NOT NULL, -- inbox | slack_dm | email | api | run
  source_ref TEXT,      -- where the answer goes (channel:thread), or null
  by TEXT NOT NULL,
  question TEXT NOT NULL,
  state TEXT NOT NULL,  -- new | claimed | answered | failed
  answer TEXT,          -- JSON {text, engine, cites[]}
  created_at INTEGER NOT NULL,
  lease_until INTEGER,
  answered_at INTEGER,
  sent_at INTEGER
) WITHOUT ROWID;
CREATE INDEX ask_time ON ask (created_at);
CREATE INDEX ask_open ON ask (created_at) WHERE answered_at IS NULL;
CREATE UNIQUE INDEX ask_source ON ask (source, source_ref) WHERE source_ref IS NOT NULL;

-- Pre-computed state that answers routine questions for free (listener `snapshot`).
CREATE TABLE state_snapshot (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  at INTEGER NOT NULL,
  data TEXT NOT NULL
);

-- Remote MCP servers the built-in agent may use; `health` is the cached row of the last list_tools.
CREATE TABLE mcp_server (
  name TEXT PRIMARY KEY,
  url TEXT NOT NULL,
  credential TEXT, -- binding name
  allow TEXT NOT NULL, -- JSON array of tool names
  enabled INTEGER NOT NULL DEFAULT 1,
  connected INTEGER,
  tools_count INTEGER,
  tools TEXT, -- JSON of the last list
  last_check_at INTEGER,
  last_error TEXT
) WITHOUT ROWID;

-- Persona and system prompt by workspace; overrides the bundled text. Versions are kept.
CREATE TABLE identity (
  workspace TEXT NOT NULL,
  version INTEGER NOT NULL,
  soul TEXT NOT NULL,
  system TEXT NOT NULL,
  agent_name TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  PRIMARY KEY (workspace, version)
) WITHOUT ROWID;
