-- How many events wait, of which type, and how old is the oldest of each? (Of the 20,000 that are published next.)
-- Healthy: no rows, or an oldest_seconds below 1. Growing oldest_seconds: the broker is away or no relay runs (relay_lease.sql).
SELECT event_type,
       COUNT(*)                                                        AS pending,
       MIN(occurred_at)                                                AS oldest_at,
       TIMESTAMPDIFF(MICROSECOND, MIN(occurred_at), UTC_TIMESTAMP(6)) / 1e6 AS oldest_seconds
FROM (SELECT event_type, occurred_at FROM outbox WHERE state = 'pending' ORDER BY seq LIMIT 20000) AS next_ones
GROUP BY event_type
ORDER BY pending DESC;
