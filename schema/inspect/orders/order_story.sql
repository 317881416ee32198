-- What happened to the newest order's events? (For another order: put its id in place of the subquery.)
-- Healthy: every version from 1 on, published within a second, stream_seq rising with the version. heal_epoch above 0: the broker
-- lost it and it was published again. discarded_at: somebody gave it up, and a tombstone takes its place.
SELECT aggregate_version, event_type, state, attempts, heal_epoch, discarded_at, occurred_at,
       NULLIF(published_at, '1970-01-01') AS published_at, NULLIF(stream_seq, 0) AS stream_seq, last_error
FROM outbox
WHERE aggregate_type = 'order'
  AND aggregate_id = (SELECT LOWER(CONCAT_WS('-', HEX(SUBSTR(id, 1, 4)), HEX(SUBSTR(id, 5, 2)), HEX(SUBSTR(id, 7, 2)), HEX(SUBSTR(id, 9, 2)), HEX(SUBSTR(id, 11, 6))))
                      FROM orders
                      ORDER BY orders.id DESC
                      LIMIT 1)
ORDER BY aggregate_version;
