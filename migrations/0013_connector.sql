-- The connector: who may receive what. Deliveries themselves live in the Gateway object of their instance (design §3).
-- Times are Reveille ms unless a name ends in _s or says wall.

CREATE TABLE tenant (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL,
  delivery_key TEXT NOT NULL, -- of a retired feature; clients want it in answers
  created_at INTEGER NOT NULL
) WITHOUT ROWID;

-- The unit of delivery: a gateway process, or several that take turns, answer for it.
CREATE TABLE instance (
  tenant TEXT NOT NULL,
  id TEXT NOT NULL,
  name TEXT NOT NULL,
  principal TEXT NOT NULL DEFAULT 'owner-only', -- owner-only | allow-list | any
  allow TEXT NOT NULL DEFAULT '[]',             -- JSON array of user ids
  wake_url TEXT,
  created_at INTEGER NOT NULL,
  PRIMARY KEY (tenant, id)
) WITHOUT ROWID;

CREATE TABLE gateway (
  id TEXT PRIMARY KEY,      -- gatewayId; of one tenant for ever
  tenant TEXT NOT NULL,
  instance TEXT NOT NULL,   -- `gw:<id>` when none was named
  identities TEXT NOT NULL, -- JSON array of [platform, botId]
  secrets TEXT NOT NULL,    -- JSON array of {sealed, created_at, retire_at}, newest first; sealed with REVEILLE_GATEWAY_KEY
  created_at INTEGER NOT NULL,
  revoked_at INTEGER
) WITHOUT ROWID;
CREATE INDEX gateway_instance ON gateway (tenant, instance);

CREATE TABLE gateway_route (
  route_key TEXT PRIMARY KEY,
  platform TEXT NOT NULL,
  bot_id TEXT NOT NULL,
  tenant TEXT NOT NULL,
  gateway_id TEXT NOT NULL,
  created_at INTEGER NOT NULL
) WITHOUT ROWID;

-- Slack team, Discord guild, WhatsApp number, Twilio number: whose is it? Telegram has none.
CREATE TABLE scope_route (
  platform TEXT NOT NULL,
  scope_id TEXT NOT NULL,
  tenant TEXT NOT NULL,
  created_by TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  PRIMARY KEY (platform, scope_id)
) WITHOUT ROWID;

-- A channel that an instance holds, for authors who are not linked. scope_id is '' for Telegram.
CREATE TABLE scope_grant (
  platform TEXT NOT NULL,
  scope_id TEXT NOT NULL,
  channel_id TEXT NOT NULL,
  tenant TEXT NOT NULL,
  instance TEXT NOT NULL,
  created_by TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  PRIMARY KEY (platform, scope_id, channel_id)
) WITHOUT ROWID;

-- An author and the instances that are theirs.
CREATE TABLE binding (
  platform TEXT NOT NULL,
  user_id TEXT NOT NULL,
  tenant TEXT NOT NULL,
  instance TEXT NOT NULL,
  scope_id TEXT NOT NULL, -- where the link was made; '' where there is none
  dm_default INTEGER NOT NULL DEFAULT 0,
  created_at INTEGER NOT NULL,
  PRIMARY KEY (platform, user_id, tenant, instance)
) WITHOUT ROWID;

CREATE TABLE relevance (
  tenant TEXT NOT NULL,
  platform TEXT NOT NULL,
  instance TEXT NOT NULL,
  require_address INTEGER NOT NULL,
  free_response_scopes TEXT NOT NULL, -- JSON array
  allow_other_bots INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  PRIMARY KEY (tenant, platform, instance)
) WITHOUT ROWID;

CREATE TABLE link_code (
  hash TEXT PRIMARY KEY,
  tenant TEXT NOT NULL,
  instance TEXT NOT NULL,
  platform TEXT,          -- null: any
  expires_at INTEGER NOT NULL,
  used_at INTEGER
) WITHOUT ROWID;

-- Five tries per user in ten minutes.
CREATE TABLE link_try (
  platform TEXT NOT NULL,
  user_id TEXT NOT NULL,
  since INTEGER NOT NULL,
  tries INTEGER NOT NULL,
  PRIMARY KEY (platform, user_id)
) WITHOUT ROWID;

-- A /link message is consumed once, whatever a platform repeats.
CREATE TABLE consumed_event (
  key TEXT PRIMARY KEY,
  at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX consumed_event_at ON consumed_event (at);

CREATE TABLE enroll_token (
  hash TEXT PRIMARY KEY,
  tenant TEXT NOT NULL,
  expires_at INTEGER NOT NULL,
  used_at INTEGER,
  used_by TEXT
) WITHOUT ROWID;

-- OAuth2 client credentials of a tenant, for enroll and provision without a hand.
CREATE TABLE tenant_client (
  client_id TEXT PRIMARY KEY,
  tenant TEXT NOT NULL,
  secret_hash TEXT NOT NULL,
  name TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  revoked_at INTEGER
) WITHOUT ROWID;

-- Which instance asked: a press goes there.
CREATE TABLE prompt (
  platform TEXT NOT NULL,
  chat_id TEXT NOT NULL,
  prompt_id TEXT NOT NULL,
  tenant TEXT NOT NULL,
  instance TEXT NOT NULL,
  message_id TEXT,
  labels TEXT NOT NULL, -- JSON object: option id -> label
  expires_at INTEGER NOT NULL,
  PRIMARY KEY (platform, chat_id, prompt_id)
) WITHOUT ROWID;

-- Our own bot on a platform, as the platform's API told (setup check).
CREATE TABLE platform_app (
  platform TEXT NOT NULL,
  app TEXT NOT NULL,
  bot_id TEXT,
  bot_ref TEXT,
  username TEXT,
  state TEXT NOT NULL,  -- ok | unset | refused | unreachable
  detail TEXT NOT NULL, -- what is missing, in words; JSON array of {check, ok, detail}
  checked_at INTEGER NOT NULL,
  PRIMARY KEY (platform, app)
) WITHOUT ROWID;

-- Commands of a Discord application as the newest gateway of any instance wants them; the minute task registers them (hermes-relay §3).
CREATE TABLE discord_manifest (
  bot_id TEXT PRIMARY KEY,      -- application id as greeted, "" = the plain one
  manifest TEXT NOT NULL,       -- JSON array of {name, description, options?}
  hash TEXT NOT NULL,
  seen_at INTEGER NOT NULL,
  registered_hash TEXT NOT NULL DEFAULT '',
  tried_at INTEGER NOT NULL DEFAULT 0, -- wall ms
  error TEXT
) WITHOUT ROWID;

-- What was counted and dropped, a row per reason and hour: no row per event that concerns nobody.
CREATE TABLE ingest_count (
  hour INTEGER NOT NULL,
  platform TEXT NOT NULL,
  outcome TEXT NOT NULL,
  n INTEGER NOT NULL,
  PRIMARY KEY (hour, platform, outcome)
) WITHOUT ROWID;
