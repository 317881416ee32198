-- Least-privilege users of the database `payments`. Run with that database selected: tables are unqualified on purpose.
-- GRANT takes nothing away: a user who was granted more by hand or by an earlier version keeps it until it is revoked.
-- New users are locked: ALTER USER 'payment_svc'@'%' IDENTIFIED BY '...' ACCOUNT UNLOCK;

-- payment-svc owns the payments, and what is asked of their provider. Prices are set by whoever owns the database.
CREATE USER IF NOT EXISTS 'payment_svc'@'%' ACCOUNT LOCK;
GRANT SELECT ON prices TO 'payment_svc'@'%';
GRANT SELECT, INSERT, UPDATE ON payments TO 'payment_svc'@'%';
GRANT SELECT, INSERT, UPDATE, DELETE ON effect TO 'payment_svc'@'%';
-- It owns the inbox. DELETE is for retention and for parked events that had their effect. It reopens a dead message that failed
-- again; the record of what people decided is not its to write.
GRANT SELECT, INSERT, DELETE ON inbox TO 'payment_svc'@'%';
GRANT SELECT, INSERT, UPDATE ON inbox_gate TO 'payment_svc'@'%';
GRANT SELECT, INSERT, UPDATE, DELETE ON inbox_parked TO 'payment_svc'@'%';
GRANT SELECT, INSERT, DELETE, UPDATE (reason, resolution, resolved_at) ON inbox_dead TO 'payment_svc'@'%';
GRANT SELECT ON inbox_skipped TO 'payment_svc'@'%';
GRANT SELECT, INSERT, UPDATE ON inbox_position TO 'payment_svc'@'%';
GRANT SELECT, INSERT, DELETE ON inbox_read TO 'payment_svc'@'%';
GRANT INSERT ON inbox_reread TO 'payment_svc'@'%';
-- It may write an event, and not its outcome, such as `state` or `stream_seq`.
GRANT SELECT ON outbox TO 'payment_svc'@'%';
GRANT INSERT (event_id, aggregate_type, aggregate_id, aggregate_version, event_type, subject, payload, headers, occurred_at)
    ON outbox TO 'payment_svc'@'%';
GRANT SELECT ON relay_lease TO 'payment_svc'@'%';
GRANT SELECT ON relay_stream TO 'payment_svc'@'%';

-- The relay of this outbox settles events; it never sees a payment. What is in an event it may not change. DELETE is for retention.
CREATE USER IF NOT EXISTS 'payment_relay'@'%' ACCOUNT LOCK;
GRANT SELECT, DELETE ON outbox TO 'payment_relay'@'%';
GRANT UPDATE (state, attempts, next_attempt_at, last_error, published_at, stream_seq, heal_epoch) ON outbox TO 'payment_relay'@'%';
GRANT SELECT, UPDATE ON relay_lease TO 'payment_relay'@'%';
GRANT SELECT, UPDATE ON relay_stream TO 'payment_relay'@'%';
-- What people decided it follows. DELETE is for retention.
GRANT SELECT, DELETE ON outbox_discarded TO 'payment_relay'@'%';
GRANT SELECT ON outbox_pause TO 'payment_relay'@'%';

-- People, by the verbs of the programs: what these need, and no more. Each decision is recorded; a record is added, never changed.
-- Where an event is in the stream only the relay says.
CREATE USER IF NOT EXISTS 'payments_operator'@'%' ACCOUNT LOCK;
GRANT SELECT, DELETE ON outbox TO 'payments_operator'@'%';
GRANT UPDATE (state, attempts, next_attempt_at, last_error, published_at, subject, payload, headers, discarded_at)
    ON outbox TO 'payments_operator'@'%';
GRANT SELECT ON relay_lease TO 'payments_operator'@'%';
GRANT SELECT, UPDATE ON relay_stream TO 'payments_operator'@'%';
GRANT SELECT, INSERT ON outbox_discarded TO 'payments_operator'@'%';
GRANT INSERT ON outbox_action TO 'payments_operator'@'%';
GRANT SELECT, INSERT, DELETE ON outbox_pause TO 'payments_operator'@'%';
GRANT SELECT, INSERT ON inbox TO 'payments_operator'@'%';
GRANT SELECT, INSERT, UPDATE ON inbox_gate TO 'payments_operator'@'%';
GRANT SELECT, INSERT, UPDATE, DELETE ON inbox_parked TO 'payments_operator'@'%';
GRANT SELECT, UPDATE (resolution, resolved_at, note) ON inbox_dead TO 'payments_operator'@'%';
GRANT SELECT, INSERT ON inbox_skipped TO 'payments_operator'@'%';
GRANT SELECT, UPDATE ON inbox_position TO 'payments_operator'@'%';
GRANT SELECT, INSERT, DELETE ON inbox_read TO 'payments_operator'@'%';
GRANT INSERT ON inbox_reread TO 'payments_operator'@'%';
GRANT INSERT ON inbox_action TO 'payments_operator'@'%';
-- A message that is retried has its effect: it asks for a charge or a refund, and appends the event of that.
GRANT INSERT (event_id, aggregate_type, aggregate_id, aggregate_version, event_type, subject, payload, headers, occurred_at)
    ON outbox TO 'payments_operator'@'%';
GRANT SELECT ON prices TO 'payments_operator'@'%';
GRANT SELECT, INSERT, UPDATE ON payments TO 'payments_operator'@'%';
GRANT SELECT, INSERT, UPDATE ON effect TO 'payments_operator'@'%';
GRANT SELECT, INSERT ON effect_action TO 'payments_operator'@'%';
GRANT INSERT ON payment_action TO 'payments_operator'@'%';
-- Addresses are shown on record.
GRANT SELECT, INSERT ON disclosure TO 'payments_operator'@'%';

-- Inspectors read; `inspect/payments/*.sql` needs no more than this.
CREATE USER IF NOT EXISTS 'payments_inspector'@'%' ACCOUNT LOCK;
GRANT SELECT ON _sqlx_migrations TO 'payments_inspector'@'%';
GRANT SELECT ON prices TO 'payments_inspector'@'%';
GRANT SELECT ON payments TO 'payments_inspector'@'%';
GRANT SELECT ON effect TO 'payments_inspector'@'%';
GRANT SELECT ON effect_action TO 'payments_inspector'@'%';
GRANT SELECT ON payment_action TO 'payments_inspector'@'%';
GRANT SELECT ON disclosure TO 'payments_inspector'@'%';
GRANT SELECT ON inbox TO 'payments_inspector'@'%';
GRANT SELECT ON inbox_gate TO 'payments_inspector'@'%';
GRANT SELECT ON inbox_parked TO 'payments_inspector'@'%';
GRANT SELECT ON inbox_dead TO 'payments_inspector'@'%';
GRANT SELECT ON inbox_skipped TO 'payments_inspector'@'%';
GRANT SELECT ON inbox_position TO 'payments_inspector'@'%';
GRANT SELECT ON inbox_read TO 'payments_inspector'@'%';
GRANT SELECT ON inbox_reread TO 'payments_inspector'@'%';
GRANT SELECT ON inbox_action TO 'payments_inspector'@'%';
GRANT SELECT ON outbox TO 'payments_inspector'@'%';
GRANT SELECT ON relay_lease TO 'payments_inspector'@'%';
GRANT SELECT ON relay_stream TO 'payments_inspector'@'%';
GRANT SELECT ON outbox_discarded TO 'payments_inspector'@'%';
GRANT SELECT ON outbox_action TO 'payments_inspector'@'%';
GRANT SELECT ON outbox_pause TO 'payments_inspector'@'%';
GRANT SELECT ON payments_text TO 'payments_inspector'@'%';
GRANT SELECT ON effect_text TO 'payments_inspector'@'%';
GRANT SELECT ON inbox_text TO 'payments_inspector'@'%';
GRANT SELECT ON outbox_text TO 'payments_inspector'@'%';
