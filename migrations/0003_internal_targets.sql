-- Reveille's own rules (`kora-watch.md` §8) and its dead man, as targets of kind `internal`: their faults are incidents like any other.
INSERT INTO target (id, name, kind, every_s, config, credentials, thresholds, paused, source, created_at, updated_at) VALUES
  ('reveille-cron', 'Reveille: watch cycle', 'internal', 120, '{"rule":"cron_alive"}', '{}', '{}', 0, 'builtin', 0, 0),
  ('reveille-dead-man', 'Reveille: alarm that watches the cron', 'internal', 180, '{"rule":"alarm_alive"}', '{}', '{}', 0, 'builtin', 0, 0),
  ('reveille-listeners', 'Reveille: periodic tasks', 'internal', 180, '{"rule":"listeners"}', '{}', '{}', 0, 'builtin', 0, 0),
  ('reveille-paused', 'Reveille: paused by an operator', 'internal', 180, '{"rule":"operator_paused"}', '{}', '{}', 0, 'builtin', 0, 0),
  ('reveille-budget', 'Reveille: reasoning budget', 'internal', 180, '{"rule":"cost_ladder"}', '{}', '{}', 0, 'builtin', 0, 0),
  ('reveille-dead-letters', 'Reveille: dead letters', 'internal', 180, '{"rule":"webhook_dead_letters_24h"}', '{}', '{}', 0, 'builtin', 0, 0),
  ('reveille-denied', 'Reveille: refused acts', 'internal', 180, '{"rule":"capability_denied_24h"}', '{}', '{}', 0, 'builtin', 0, 0),
  ('reveille-reasoning', 'Reveille: reasoning errors', 'internal', 180, '{"rule":"reasoning_errors_24h"}', '{}', '{}', 0, 'builtin', 0, 0),
  ('reveille-notices', 'Reveille: failed notices', 'internal', 180, '{"rule":"slack_dm_reply_failed_24h"}', '{}', '{}', 0, 'builtin', 0, 0);

INSERT INTO target_state (target_id, version, phase, status, reason, since, machine)
  SELECT id, 0, 'steady', 'unknown', 'not_looked_yet', 0, '{}' FROM target WHERE source = 'builtin';
