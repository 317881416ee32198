-- Which versions did somebody give up because they never came, and why?
-- Healthy: no rows, or ones that somebody can explain.
SELECT aggregate_type, aggregate_id, from_version, to_version, reason, skipped_at
FROM inbox_skipped
ORDER BY id DESC
LIMIT 100;
