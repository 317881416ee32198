-- Which subjects are paused, since when, by whom and why?
-- Healthy: no rows, or ones that somebody still means. `outbox-relay subject resume` ends one.
SELECT pattern, reason, paused_by, paused_at
FROM outbox_pause
ORDER BY paused_at;
