-- Which of the 10,000 newest published events waited longest from their insertion to their PubAck?
-- Healthy: below a second. The same minute for all: an outage. One order only: attempts and last_error say why.
SELECT seq, event_type, attempts, heal_epoch, inserted_at, published_at,
       TIMESTAMPDIFF(MICROSECOND, inserted_at, published_at) / 1e6 AS waited_seconds
FROM (SELECT seq, event_type, attempts, heal_epoch, inserted_at, published_at
      FROM outbox FORCE INDEX (claim)
      WHERE state = 'published'
      ORDER BY seq DESC
      LIMIT 10000) AS youngest
ORDER BY waited_seconds DESC
LIMIT 20;
