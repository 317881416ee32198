-- Which messages could notify-svc not process, and why, that nobody has decided about yet?
-- Healthy: no rows.
SELECT id, stream_seq, subject, reason, dead_at
FROM inbox_dead
WHERE resolution IS NULL
ORDER BY id DESC
LIMIT 100;
