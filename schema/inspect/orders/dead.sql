-- Which events need a person, and why?
-- Healthy: no rows.
SELECT seq, event_id, aggregate_type, aggregate_id, aggregate_version, event_type, attempts, last_error, occurred_at
FROM outbox_text
WHERE state = 'dead'
ORDER BY seq
LIMIT 100;
