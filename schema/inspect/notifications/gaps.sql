-- Which events are parked, since when, and which version of their aggregate has to come first? (The 100 that wait longest.)
-- Healthy: no rows, or rows that are seconds old. attempts above 0: the database refuses the effect.
SELECT p.aggregate_type, p.aggregate_id, COALESCE(g.version, 0) + 1 AS missing_version, p.aggregate_version AS waiting_version,
       LOWER(HEX(p.event_id)) AS event_id, p.event_type, p.stream_seq, p.attempts, p.parked_at
FROM (SELECT consumer, aggregate_type, aggregate_id, aggregate_version, event_id, event_type, stream_seq, attempts, parked_at
      FROM inbox_parked FORCE INDEX (parked_at)
      ORDER BY consumer, parked_at
      LIMIT 100) AS p
LEFT JOIN inbox_gate AS g
       ON g.consumer = p.consumer AND g.aggregate_type = p.aggregate_type AND g.aggregate_id = p.aggregate_id
ORDER BY p.parked_at;
