-- How many events wait, of which type and for how long? (Of the 10,000 that are published next.)
-- Healthy: no rows, or an oldest_seconds below 1. Growing oldest_seconds: the broker is away or no relay runs (relay_lease.sql).
-- put_off: they wait for another attempt, until next_attempt_at. tombstones: somebody discarded them, and consumers step over them.
SELECT event_type,
       COUNT(*)                                                             AS pending,
       SUM(inserted_at < UTC_TIMESTAMP(6) - INTERVAL 1 SECOND)              AS over_a_second,
       SUM(inserted_at < UTC_TIMESTAMP(6) - INTERVAL 1 MINUTE)              AS over_a_minute,
       SUM(inserted_at < UTC_TIMESTAMP(6) - INTERVAL 1 HOUR)                AS over_an_hour,
       SUM(COALESCE(next_attempt_at > UTC_TIMESTAMP(6), 0))                 AS put_off,
       SUM(discarded_at IS NOT NULL)                                        AS tombstones,
       MIN(inserted_at)                                                     AS oldest_at,
       TIMESTAMPDIFF(MICROSECOND, MIN(inserted_at), UTC_TIMESTAMP(6)) / 1e6 AS oldest_seconds
FROM (SELECT event_type, inserted_at, next_attempt_at, discarded_at
      FROM outbox FORCE INDEX (claim)
      WHERE state = 'pending'
      ORDER BY seq
      LIMIT 10000) AS next_ones
GROUP BY event_type
ORDER BY pending DESC;
