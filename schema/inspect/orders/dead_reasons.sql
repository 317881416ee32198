-- Why are events dead, and how many for each reason? (Of the 10,000 oldest.)
-- Healthy: no rows. One reason for many: fix the writer or the settings, then `outbox-relay event requeue --dead --error '...'`.
SELECT event_type, LEFT(last_error, 120) AS reason, COUNT(*) AS dead, MIN(seq) AS first_seq, MAX(occurred_at) AS youngest_at
FROM (SELECT event_type, last_error, seq, occurred_at FROM outbox FORCE INDEX (claim) WHERE state = 'dead' ORDER BY seq LIMIT 10000) AS oldest
GROUP BY event_type, LEFT(last_error, 120)
ORDER BY dead DESC;
