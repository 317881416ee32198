-- What did people do to the outbox lately?
-- Healthy: nothing that nobody can explain. A replay has two rows, when it begins and when it is done: with one it broke off.
SELECT acted_at, actor, action, events, reason, LEFT(scope, 120) AS scope
FROM outbox_action
ORDER BY id DESC
LIMIT 50;
