-- Which events had their effect lately, in which order? (The 20 newest.)
-- Healthy: stream_seq rising with received_at, and one notification for each event.
SELECT i.received_at, i.stream_seq, i.event_type, i.aggregate_version,
       LOWER(CONCAT_WS('-', HEX(SUBSTR(i.event_id, 1, 4)), HEX(SUBSTR(i.event_id, 5, 2)), HEX(SUBSTR(i.event_id, 7, 2)), HEX(SUBSTR(i.event_id, 9, 2)), HEX(SUBSTR(i.event_id, 11, 6)))) AS event_id,
       CASE WHEN n.sent_at IS NOT NULL THEN 'sent'
            WHEN n.suppressed IS NOT NULL THEN 'suppressed'
            ELSE COALESCE(e.state, 'discarded') END AS email
FROM (SELECT received_at, stream_seq, event_type, aggregate_version, event_id
      FROM inbox FORCE INDEX (received)
      WHERE consumer = 'notify-svc'
      ORDER BY received_at DESC
      LIMIT 20) AS i
LEFT JOIN notifications AS n ON n.event_id = i.event_id
LEFT JOIN effect AS e ON e.id = n.id
ORDER BY i.received_at DESC;
