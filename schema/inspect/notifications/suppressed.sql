-- Which addresses get no email, since when, by whom and why? (The 100 newest actions, and whether each still holds.)
-- Healthy: bounces, now and then a complaint. Many bounces in an hour: the mail server refuses addresses that exist.
SELECT a.acted_at, a.action, a.cause, a.actor, a.reason, a.address, s.address IS NOT NULL AS is_suppressed_now
FROM (SELECT id, acted_at, action, cause, actor, reason, address
      FROM suppression_action
      ORDER BY id DESC
      LIMIT 100) AS a
LEFT JOIN suppression AS s ON s.address = a.address
ORDER BY a.id DESC;
