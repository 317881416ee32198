-- Who had a verb print addresses, when, and what was asked for? (The 100 newest.)
-- Healthy: no rows, or ones that somebody can explain.
SELECT disclosed_at, actor, verb
FROM disclosure
ORDER BY id DESC
LIMIT 100;
