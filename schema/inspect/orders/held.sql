-- Which aggregates stand still because an earlier event of theirs is dead or its subject is paused, and how many events wait? (Of the 10,000 oldest.)
-- Healthy: no rows. Fix the dead event (dead.sql) or end the pause (pauses.sql), and the held ones go on.
SELECT aggregate_type, aggregate_id, COUNT(*) AS held, MIN(aggregate_version) AS first_held_version, MIN(occurred_at) AS since
FROM (SELECT aggregate_type, aggregate_id, aggregate_version, occurred_at FROM outbox FORCE INDEX (claim) WHERE state = 'held' ORDER BY seq LIMIT 10000) AS oldest
GROUP BY aggregate_type, aggregate_id
ORDER BY held DESC
LIMIT 100;
