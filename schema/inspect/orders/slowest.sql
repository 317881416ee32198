-- Which of the newest 20,000 events waited longest from their commit to their PubAck?
-- Healthy: below a second. The same minute for all: an outage. One order only: attempts and last_error say why.
SELECT seq, event_type, attempts, heal_epoch, occurred_at, published_at,
       TIMESTAMPDIFF(MICROSECOND, occurred_at, published_at) / 1e6 AS waited_seconds
FROM (SELECT seq, event_type, attempts, heal_epoch, occurred_at, published_at FROM outbox ORDER BY seq DESC LIMIT 20000) AS newest
WHERE published_at > '1970-01-01'
ORDER BY waited_seconds DESC
LIMIT 20;
