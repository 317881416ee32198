-- Which stream does the relay publish to, up to where is it proven, and did the broker ever lose events?
-- Healthy: checked_seconds below 10, proven_seconds below 170 (PROOF_HORIZON and two checks), suspicion NULL, lost_at NULL,
-- unread_dropped 0, history_seq NULL. unread_dropped: the stream's limits dropped so many messages before their consumers had
-- them, and nothing more is proven until the limits are changed. history_seq: what was published before the first check is
-- still being compared, and nothing is proven yet.
-- suspicion: the outbox is being compared with the stream, and nothing is published meanwhile. lost_at: see healed.sql.
SELECT name, stream, created_at, server, checked_at,
       TIMESTAMPDIFF(MICROSECOND, checked_at, UTC_TIMESTAMP(6)) / 1e6           AS checked_seconds,
       TIMESTAMPDIFF(MICROSECOND, proven_at, UTC_TIMESTAMP(6)) / 1e6            AS proven_seconds,
       first_seq, last_seq, proven_seq, last_seq - LEAST(proven_seq, last_seq)  AS unproven,
       deleted, limits, unread_dropped, history_seq, suspicion, lost_at, lost_sign, healed
FROM relay_stream;
