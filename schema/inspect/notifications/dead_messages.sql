-- Which messages could notify-svc not process, and why?
-- Healthy: no rows.
SELECT id, stream_seq, subject, reason, dead_at
FROM inbox_dead
ORDER BY id DESC
LIMIT 100;
