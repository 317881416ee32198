-- Least-privilege users of the database `notifications`. Run with that database selected: tables are unqualified on purpose.
-- GRANT takes nothing away: a user who was granted more by hand or by an earlier version keeps it until it is revoked.
-- New users are locked: ALTER USER 'notify_svc'@'%' IDENTIFIED BY '...' ACCOUNT UNLOCK;

-- notify-svc owns the inbox, the notifications and their emails. DELETE is for retention and for parked events that had their
-- effect. It reopens a dead message that failed again, and suppresses addresses that bounced or that the webhook names. Letting one
-- out again, and the record of what people decided, are not its to write.
CREATE USER IF NOT EXISTS 'notify_svc'@'%' ACCOUNT LOCK;
GRANT SELECT, INSERT, DELETE ON inbox TO 'notify_svc'@'%';
GRANT SELECT, INSERT, UPDATE ON inbox_gate TO 'notify_svc'@'%';
GRANT SELECT, INSERT, UPDATE, DELETE ON inbox_parked TO 'notify_svc'@'%';
GRANT SELECT, INSERT, DELETE, UPDATE (reason, resolution, resolved_at) ON inbox_dead TO 'notify_svc'@'%';
GRANT SELECT ON inbox_skipped TO 'notify_svc'@'%';
GRANT SELECT, INSERT, UPDATE ON inbox_position TO 'notify_svc'@'%';
GRANT SELECT, INSERT, DELETE ON inbox_read TO 'notify_svc'@'%';
GRANT INSERT ON inbox_reread TO 'notify_svc'@'%';
GRANT SELECT, INSERT, UPDATE, DELETE ON notifications TO 'notify_svc'@'%';
GRANT SELECT, INSERT, UPDATE, DELETE ON effect TO 'notify_svc'@'%';
GRANT SELECT, INSERT ON suppression TO 'notify_svc'@'%';
GRANT SELECT, INSERT, UPDATE, DELETE ON recipient_mails TO 'notify_svc'@'%';
GRANT SELECT, INSERT, DELETE ON suppression_action TO 'notify_svc'@'%';

-- People, by the verbs of the programs: what these need, and no more. Each decision is recorded; a record is added, never changed.
CREATE USER IF NOT EXISTS 'notifications_operator'@'%' ACCOUNT LOCK;
GRANT SELECT, INSERT ON inbox TO 'notifications_operator'@'%';
GRANT SELECT, INSERT, UPDATE ON inbox_gate TO 'notifications_operator'@'%';
GRANT SELECT, INSERT, UPDATE, DELETE ON inbox_parked TO 'notifications_operator'@'%';
GRANT SELECT, UPDATE (resolution, resolved_at, note) ON inbox_dead TO 'notifications_operator'@'%';
GRANT SELECT, INSERT ON inbox_skipped TO 'notifications_operator'@'%';
GRANT SELECT, UPDATE ON inbox_position TO 'notifications_operator'@'%';
GRANT SELECT, INSERT, DELETE ON inbox_read TO 'notifications_operator'@'%';
GRANT INSERT ON inbox_reread TO 'notifications_operator'@'%';
GRANT INSERT ON inbox_action TO 'notifications_operator'@'%';
-- A message that is retried has its effect: a notification and its email.
GRANT SELECT, INSERT ON notifications TO 'notifications_operator'@'%';
GRANT SELECT, INSERT, UPDATE ON effect TO 'notifications_operator'@'%';
GRANT SELECT, INSERT ON effect_action TO 'notifications_operator'@'%';
GRANT SELECT, INSERT, DELETE ON suppression TO 'notifications_operator'@'%';
GRANT INSERT ON suppression_action TO 'notifications_operator'@'%';
-- Addresses are shown on record.
GRANT SELECT, INSERT ON disclosure TO 'notifications_operator'@'%';

-- Inspectors read all but addresses that get no email; `inspect/notifications/*.sql` needs no more than this.
CREATE USER IF NOT EXISTS 'notifications_inspector'@'%' ACCOUNT LOCK;
GRANT SELECT ON _sqlx_migrations TO 'notifications_inspector'@'%';
GRANT SELECT ON inbox TO 'notifications_inspector'@'%';
GRANT SELECT ON inbox_gate TO 'notifications_inspector'@'%';
GRANT SELECT ON inbox_parked TO 'notifications_inspector'@'%';
GRANT SELECT ON inbox_dead TO 'notifications_inspector'@'%';
GRANT SELECT ON inbox_skipped TO 'notifications_inspector'@'%';
GRANT SELECT ON inbox_position TO 'notifications_inspector'@'%';
GRANT SELECT ON inbox_read TO 'notifications_inspector'@'%';
GRANT SELECT ON inbox_reread TO 'notifications_inspector'@'%';
GRANT SELECT ON inbox_action TO 'notifications_inspector'@'%';
GRANT SELECT ON notifications TO 'notifications_inspector'@'%';
GRANT SELECT ON effect TO 'notifications_inspector'@'%';
GRANT SELECT ON effect_action TO 'notifications_inspector'@'%';
GRANT SELECT (cause, added_at, added_by, reason) ON suppression TO 'notifications_inspector'@'%';
GRANT SELECT ON recipient_mails TO 'notifications_inspector'@'%';
GRANT SELECT (id, acted_at, actor, action, cause, reason) ON suppression_action TO 'notifications_inspector'@'%';
GRANT SELECT ON disclosure TO 'notifications_inspector'@'%';
GRANT SELECT ON inbox_text TO 'notifications_inspector'@'%';
GRANT SELECT ON effect_text TO 'notifications_inspector'@'%';
GRANT SELECT ON notifications_text TO 'notifications_inspector'@'%';
