-- What became of the newest orders' money, and of what was asked of the provider for it? (The 20 newest payments.)
-- Healthy: authorized, declined, refunded or withdrawn within seconds; charge and refund done.
SELECT p.order_id, p.state, p.amount_minor, p.currency, p.version, p.intent, p.decline_reason,
       charge.state AS charge, refund.state AS refund, REGEXP_REPLACE(COALESCE(refund.last_error, charge.last_error), '[^ <>(),;:"]+@', '***@') AS last_error, p.updated_at
FROM (SELECT LOWER(CONCAT_WS('-', HEX(SUBSTR(order_id, 1, 4)), HEX(SUBSTR(order_id, 5, 2)), HEX(SUBSTR(order_id, 7, 2)), HEX(SUBSTR(order_id, 9, 2)), HEX(SUBSTR(order_id, 11, 6)))) AS order_id,
             id, state, amount_minor, currency, version, intent, decline_reason, charge_id, refund_id, updated_at
      FROM payments
      ORDER BY id DESC
      LIMIT 20) AS p
JOIN effect AS charge ON charge.id = p.charge_id
LEFT JOIN effect AS refund ON refund.id = p.refund_id
ORDER BY p.id DESC;
