-- Which orders stand still because an elder event of theirs is dead, and how many events wait behind it?
-- Healthy: no rows. Mend the dead event (dead.sql) and its held ones go on.
SELECT aggregate_type, aggregate_id, COUNT(*) AS held, MIN(aggregate_version) AS first_held_version, MIN(occurred_at) AS since
FROM outbox_text
WHERE state = 'held'
GROUP BY aggregate_type, aggregate_id
ORDER BY held DESC
LIMIT 100;
