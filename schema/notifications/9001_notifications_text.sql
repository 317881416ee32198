-- The notifications with their ids as text and what became of their emails, without the addresses that a mail server quoted, for people. BIN_TO_UUID would be shorter, but MariaDB
-- has none. An effect that ended is purged before its notification.
CREATE SQL SECURITY INVOKER VIEW notifications_text AS
SELECT LOWER(CONCAT_WS('-', HEX(SUBSTR(n.id, 1, 4)), HEX(SUBSTR(n.id, 5, 2)), HEX(SUBSTR(n.id, 7, 2)), HEX(SUBSTR(n.id, 9, 2)), HEX(SUBSTR(n.id, 11, 6)))) AS id,
       LOWER(CONCAT_WS('-', HEX(SUBSTR(n.event_id, 1, 4)), HEX(SUBSTR(n.event_id, 5, 2)), HEX(SUBSTR(n.event_id, 7, 2)), HEX(SUBSTR(n.event_id, 9, 2)), HEX(SUBSTR(n.event_id, 11, 6)))) AS event_id,
       n.event_type,
       LOWER(CONCAT_WS('-', HEX(SUBSTR(n.order_id, 1, 4)), HEX(SUBSTR(n.order_id, 5, 2)), HEX(SUBSTR(n.order_id, 7, 2)), HEX(SUBSTR(n.order_id, 9, 2)), HEX(SUBSTR(n.order_id, 11, 6)))) AS order_id,
       n.product, n.quantity, n.created_at, n.sent_at, n.suppressed,
       CASE WHEN n.sent_at IS NOT NULL THEN 'sent' WHEN n.suppressed IS NOT NULL THEN 'suppressed' ELSE COALESCE(e.state, 'discarded') END AS state,
       e.attempts, e.put_off, e.is_unknown, e.next_attempt_at, e.claimed_by, REGEXP_REPLACE(e.last_error, '[^ <>(),;:"]+@', '***@') AS last_error
FROM notifications AS n
LEFT JOIN effect AS e ON e.id = n.id;
