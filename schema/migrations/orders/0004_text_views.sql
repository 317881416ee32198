-- The tables with their ids as text, for people. BIN_TO_UUID would say it shorter, but MariaDB has none.
CREATE SQL SECURITY INVOKER VIEW orders_text AS
SELECT LOWER(CONCAT_WS('-', HEX(SUBSTR(id, 1, 4)), HEX(SUBSTR(id, 5, 2)), HEX(SUBSTR(id, 7, 2)), HEX(SUBSTR(id, 9, 2)), HEX(SUBSTR(id, 11, 6)))) AS id,
       product, quantity, email, status, version, created_at, updated_at
FROM orders;

CREATE SQL SECURITY INVOKER VIEW outbox_text AS
SELECT seq,
       LOWER(CONCAT_WS('-', HEX(SUBSTR(event_id, 1, 4)), HEX(SUBSTR(event_id, 5, 2)), HEX(SUBSTR(event_id, 7, 2)), HEX(SUBSTR(event_id, 9, 2)), HEX(SUBSTR(event_id, 11, 6)))) AS event_id,
       aggregate_type,
       LOWER(CONCAT_WS('-', HEX(SUBSTR(aggregate_id, 1, 4)), HEX(SUBSTR(aggregate_id, 5, 2)), HEX(SUBSTR(aggregate_id, 7, 2)), HEX(SUBSTR(aggregate_id, 9, 2)), HEX(SUBSTR(aggregate_id, 11, 6)))) AS aggregate_id,
       aggregate_version, event_type, subject, payload, headers, occurred_at,
       state, attempts, next_attempt_at, last_error, published_at, stream_seq, heal_epoch
FROM outbox;
