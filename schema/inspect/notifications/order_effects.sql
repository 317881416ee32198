-- Which events had their effect lately, in which order?
-- Healthy: stream_seq rising with received_at, and one notification for each event.
SELECT i.received_at, i.stream_seq, i.event_type, i.aggregate_version, i.event_id, n.state AS email
FROM inbox_text AS i
LEFT JOIN notifications_text AS n ON n.event_id = i.event_id
ORDER BY i.received_at DESC
LIMIT 20;
