-- Which messages could notify-svc not process, and why, that nobody has decided about yet? (The 100 newest.)
-- Healthy: no rows.
SELECT id, stream_seq, subject, REGEXP_REPLACE(reason, '[^ <>(),;:"]+@', '***@') AS reason, dead_at
FROM inbox_dead FORCE INDEX (open)
WHERE resolution IS NULL
ORDER BY id DESC
LIMIT 100;
