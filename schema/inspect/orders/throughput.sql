-- How many events were published in each of the last minutes, and how long did they wait? (Of the 20,000 newest published.)
-- Healthy: follows the orders; average_wait_seconds well below 1. The oldest minute shown may be cut off.
SELECT DATE_FORMAT(published_at, '%Y-%m-%d %H:%i') AS minute,
       COUNT(*)                                    AS published,
       AVG(TIMESTAMPDIFF(MICROSECOND, occurred_at, published_at)) / 1e6 AS average_wait_seconds
FROM (SELECT published_at, occurred_at
      FROM outbox FORCE INDEX (claim)
      WHERE state = 'published'
      ORDER BY seq DESC
      LIMIT 20000) AS youngest
GROUP BY DATE_FORMAT(published_at, '%Y-%m-%d %H:%i')
ORDER BY minute DESC;
