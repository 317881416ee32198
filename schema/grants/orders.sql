-- Least-privilege users of the database `orders`. Run with that database selected: tables are unqualified on purpose.
-- GRANT takes nothing away: a user who was granted more by hand or by an earlier version keeps it until it is revoked.
-- New users are locked: ALTER USER 'order_svc'@'%' IDENTIFIED BY '...' ACCOUNT UNLOCK;

-- order-svc writes orders and appends events; what happens to an event afterwards it may see but not change. What was ordered, by
-- whom and to which address stays as it was placed.
CREATE USER IF NOT EXISTS 'order_svc'@'%' ACCOUNT LOCK;
GRANT SELECT, INSERT ON orders TO 'order_svc'@'%';
GRANT UPDATE (status, payment, version, updated_at) ON orders TO 'order_svc'@'%';
-- It may write an event, and not its outcome, such as `state` or `stream_seq`.
GRANT SELECT ON outbox TO 'order_svc'@'%';
GRANT INSERT (event_id, aggregate_type, aggregate_id, aggregate_version, event_type, subject, payload, headers, occurred_at)
    ON outbox TO 'order_svc'@'%';
GRANT SELECT ON relay_lease TO 'order_svc'@'%';
GRANT SELECT ON relay_stream TO 'order_svc'@'%';
-- What it was told about payments. DELETE is for retention and for parked events that had their effect. It reopens a dead message
-- that failed again; the record of what people decided is not its to write.
GRANT SELECT, INSERT, DELETE ON inbox TO 'order_svc'@'%';
GRANT SELECT, INSERT, UPDATE ON inbox_gate TO 'order_svc'@'%';
GRANT SELECT, INSERT, UPDATE, DELETE ON inbox_parked TO 'order_svc'@'%';
GRANT SELECT, INSERT, DELETE, UPDATE (reason, resolution, resolved_at) ON inbox_dead TO 'order_svc'@'%';
GRANT SELECT ON inbox_skipped TO 'order_svc'@'%';
GRANT SELECT, INSERT, UPDATE ON inbox_position TO 'order_svc'@'%';
GRANT SELECT, INSERT, DELETE ON inbox_read TO 'order_svc'@'%';
GRANT INSERT ON inbox_reread TO 'order_svc'@'%';
-- DELETE is for keys that expired.
GRANT SELECT, INSERT, DELETE ON idempotency_keys TO 'order_svc'@'%';

-- outbox-relay settles events; it never sees an order. What is in an event it may not change. DELETE is for retention.
CREATE USER IF NOT EXISTS 'outbox_relay'@'%' ACCOUNT LOCK;
GRANT SELECT, DELETE ON outbox TO 'outbox_relay'@'%';
GRANT UPDATE (state, attempts, next_attempt_at, last_error, published_at, stream_seq, heal_epoch) ON outbox TO 'outbox_relay'@'%';
GRANT SELECT, UPDATE ON relay_lease TO 'outbox_relay'@'%';
GRANT SELECT, UPDATE ON relay_stream TO 'outbox_relay'@'%';
-- What people decided it follows. DELETE is for retention.
GRANT SELECT, DELETE ON outbox_discarded TO 'outbox_relay'@'%';
GRANT SELECT ON outbox_pause TO 'outbox_relay'@'%';

-- People, by the verbs of the programs: what these need, and no more. Each decision is recorded; a record is added, never changed.
-- Where an event is in the stream only the relay says.
CREATE USER IF NOT EXISTS 'orders_operator'@'%' ACCOUNT LOCK;
GRANT SELECT, DELETE ON outbox TO 'orders_operator'@'%';
GRANT UPDATE (state, attempts, next_attempt_at, last_error, published_at, subject, payload, headers, discarded_at)
    ON outbox TO 'orders_operator'@'%';
GRANT SELECT ON relay_lease TO 'orders_operator'@'%';
GRANT SELECT, UPDATE ON relay_stream TO 'orders_operator'@'%';
GRANT SELECT, INSERT ON outbox_discarded TO 'orders_operator'@'%';
GRANT INSERT ON outbox_action TO 'orders_operator'@'%';
GRANT SELECT, INSERT, DELETE ON outbox_pause TO 'orders_operator'@'%';
GRANT SELECT, INSERT ON inbox TO 'orders_operator'@'%';
GRANT SELECT, INSERT, UPDATE ON inbox_gate TO 'orders_operator'@'%';
GRANT SELECT, INSERT, UPDATE, DELETE ON inbox_parked TO 'orders_operator'@'%';
GRANT SELECT, UPDATE (resolution, resolved_at, note) ON inbox_dead TO 'orders_operator'@'%';
GRANT SELECT, INSERT ON inbox_skipped TO 'orders_operator'@'%';
GRANT SELECT, UPDATE ON inbox_position TO 'orders_operator'@'%';
GRANT SELECT, INSERT, DELETE ON inbox_read TO 'orders_operator'@'%';
GRANT INSERT ON inbox_reread TO 'orders_operator'@'%';
GRANT INSERT ON inbox_action TO 'orders_operator'@'%';
-- A message that is retried has its effect: it changes an order, and appends the event of that.
GRANT INSERT (event_id, aggregate_type, aggregate_id, aggregate_version, event_type, subject, payload, headers, occurred_at)
    ON outbox TO 'orders_operator'@'%';
GRANT SELECT, UPDATE (status, payment, version, updated_at) ON orders TO 'orders_operator'@'%';
-- A customer is exported or erased.
GRANT UPDATE (email) ON orders TO 'orders_operator'@'%';
GRANT INSERT ON customer_action TO 'orders_operator'@'%';
-- Addresses are shown on record.
GRANT SELECT, INSERT ON disclosure TO 'orders_operator'@'%';

-- Inspectors read all but the customers' addresses; `inspect/orders/*.sql` needs no more than this.
CREATE USER IF NOT EXISTS 'orders_inspector'@'%' ACCOUNT LOCK;
GRANT SELECT ON _sqlx_migrations TO 'orders_inspector'@'%';
GRANT SELECT (id, customer, product, quantity, status, payment, version, created_at, updated_at) ON orders TO 'orders_inspector'@'%';
GRANT SELECT ON outbox TO 'orders_inspector'@'%';
GRANT SELECT ON relay_lease TO 'orders_inspector'@'%';
GRANT SELECT ON relay_stream TO 'orders_inspector'@'%';
GRANT SELECT ON idempotency_keys TO 'orders_inspector'@'%';
GRANT SELECT ON customer_action TO 'orders_inspector'@'%';
GRANT SELECT ON disclosure TO 'orders_inspector'@'%';
GRANT SELECT ON outbox_discarded TO 'orders_inspector'@'%';
GRANT SELECT ON outbox_action TO 'orders_inspector'@'%';
GRANT SELECT ON outbox_pause TO 'orders_inspector'@'%';
GRANT SELECT ON orders_text TO 'orders_inspector'@'%';
GRANT SELECT ON outbox_text TO 'orders_inspector'@'%';
GRANT SELECT ON inbox TO 'orders_inspector'@'%';
GRANT SELECT ON inbox_gate TO 'orders_inspector'@'%';
GRANT SELECT ON inbox_parked TO 'orders_inspector'@'%';
GRANT SELECT ON inbox_dead TO 'orders_inspector'@'%';
GRANT SELECT ON inbox_skipped TO 'orders_inspector'@'%';
GRANT SELECT ON inbox_position TO 'orders_inspector'@'%';
GRANT SELECT ON inbox_read TO 'orders_inspector'@'%';
GRANT SELECT ON inbox_reread TO 'orders_inspector'@'%';
GRANT SELECT ON inbox_action TO 'orders_inspector'@'%';
GRANT SELECT ON inbox_text TO 'orders_inspector'@'%';
