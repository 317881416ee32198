-- The tables with their ids as text, for people. BIN_TO_UUID would say it shorter, but MariaDB has none.
CREATE SQL SECURITY INVOKER VIEW inbox_text AS
SELECT consumer,
       LOWER(CONCAT_WS('-', HEX(SUBSTR(event_id, 1, 4)), HEX(SUBSTR(event_id, 5, 2)), HEX(SUBSTR(event_id, 7, 2)), HEX(SUBSTR(event_id, 9, 2)), HEX(SUBSTR(event_id, 11, 6)))) AS event_id,
       event_type, aggregate_type,
       LOWER(CONCAT_WS('-', HEX(SUBSTR(aggregate_id, 1, 4)), HEX(SUBSTR(aggregate_id, 5, 2)), HEX(SUBSTR(aggregate_id, 7, 2)), HEX(SUBSTR(aggregate_id, 9, 2)), HEX(SUBSTR(aggregate_id, 11, 6)))) AS aggregate_id,
       aggregate_version, LOWER(HEX(payload_sha256)) AS payload_sha256, stream_seq, received_at
FROM inbox;

CREATE SQL SECURITY INVOKER VIEW notifications_text AS
SELECT LOWER(CONCAT_WS('-', HEX(SUBSTR(id, 1, 4)), HEX(SUBSTR(id, 5, 2)), HEX(SUBSTR(id, 7, 2)), HEX(SUBSTR(id, 9, 2)), HEX(SUBSTR(id, 11, 6)))) AS id,
       LOWER(CONCAT_WS('-', HEX(SUBSTR(event_id, 1, 4)), HEX(SUBSTR(event_id, 5, 2)), HEX(SUBSTR(event_id, 7, 2)), HEX(SUBSTR(event_id, 9, 2)), HEX(SUBSTR(event_id, 11, 6)))) AS event_id,
       event_type,
       LOWER(CONCAT_WS('-', HEX(SUBSTR(order_id, 1, 4)), HEX(SUBSTR(order_id, 5, 2)), HEX(SUBSTR(order_id, 7, 2)), HEX(SUBSTR(order_id, 9, 2)), HEX(SUBSTR(order_id, 11, 6)))) AS order_id,
       recipient, product, quantity, created_at,
       state, attempts, next_attempt_at, claimed_by, last_error, sent_at
FROM notifications;
