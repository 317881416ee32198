-- Which charges and refunds are dead, and why? (The 100 newest.) All payments that wait for a person: payment-svc payment list.
-- Healthy: no rows. is_unknown 1: the money may have moved; look at the provider before deciding.
SELECT LOWER(CONCAT_WS('-', HEX(SUBSTR(e.id, 1, 4)), HEX(SUBSTR(e.id, 5, 2)), HEX(SUBSTR(e.id, 7, 2)), HEX(SUBSTR(e.id, 9, 2)), HEX(SUBSTR(e.id, 11, 6)))) AS effect_id,
       e.kind, e.subject AS payment_id, e.attempts, e.is_unknown, REGEXP_REPLACE(e.last_error, '[^ <>(),;:"]+@', '***@') AS last_error, e.ended_at
FROM effect AS e FORCE INDEX (state_id)
WHERE e.state = 'dead'
ORDER BY e.id DESC
LIMIT 100;
