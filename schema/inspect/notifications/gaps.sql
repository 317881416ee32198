-- Which orders wait for an elder version, since when, and for which? (Of the 10,000 events that wait longest.)
-- Healthy: no rows, or rows that are seconds old.
SELECT LOWER(HEX(w.aggregate_id)) AS order_id, COALESCE(g.version, 0) + 1 AS missing_version, w.aggregate_version AS waiting_version,
       w.stream_seq, w.deliveries, w.since
FROM (SELECT consumer, aggregate_type, aggregate_id, aggregate_version, stream_seq, deliveries, since
      FROM inbox_waiting FORCE INDEX (since)
      ORDER BY consumer, since
      LIMIT 10000) AS w
LEFT JOIN inbox_gate AS g
       ON g.consumer = w.consumer AND g.aggregate_type = w.aggregate_type AND g.aggregate_id = w.aggregate_id
WHERE w.aggregate_version > COALESCE(g.version, 0)
ORDER BY w.since
LIMIT 100;
