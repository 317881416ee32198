-- What did people do to the outbox lately?
-- Healthy: nothing that nobody can explain.
SELECT acted_at, actor, action, events, reason, LEFT(scope, 120) AS scope
FROM outbox_action
ORDER BY id DESC
LIMIT 50;
