-- Which of the newest 10,000 published events, by the index claim, are not proven yet, by type?
-- Healthy: what was published in the last three minutes. More, with a growing oldest_seconds: no relay runs, or the broker restarts
-- again and again (relay_stream.sql). no_relay above 0: so many are marked as published and no relay published them; `outbox-relay stream check`
-- says more.
SELECT newest.event_type,
       COUNT(*)                                                                           AS unproven,
       SUM(newest.stream_seq = 0)                                                         AS no_relay,
       MIN(newest.published_at)                                                           AS oldest_at,
       TIMESTAMPDIFF(MICROSECOND, MIN(newest.published_at), UTC_TIMESTAMP(6)) / 1e6       AS oldest_seconds
FROM (SELECT event_type, published_at, stream_seq, heal_epoch
      FROM outbox FORCE INDEX (claim)
      WHERE state = 'published'
      ORDER BY seq DESC
      LIMIT 10000) AS newest
JOIN relay_stream ON relay_stream.name = 'outbox'
WHERE newest.stream_seq > relay_stream.proven_seq
   OR (newest.stream_seq = 0 AND newest.heal_epoch = 0)
GROUP BY newest.event_type
ORDER BY unproven DESC;
