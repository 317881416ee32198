-- Which events need a person, and why? (The 100 oldest.)
-- Healthy: no rows.
SELECT seq, event_id, aggregate_type, aggregate_id, aggregate_version, event_type, attempts, last_error, occurred_at
FROM (SELECT seq FROM outbox FORCE INDEX (claim) WHERE state = 'dead' ORDER BY seq LIMIT 100) AS oldest
JOIN outbox_text USING (seq)
ORDER BY seq;
