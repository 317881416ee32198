-- What a settle writes has its place in the row from the beginning. A NULL takes no room, so that every settle made its
-- row longer and split the pages that the writers had just filled: two fifths of its cost.
--
-- The defaults come first, so that no writer brings another NULL; the updates lock rows that nobody but the relay changes,
-- and not the end of the table, where writers insert. Older versions of the programs go on meanwhile, and show 1970 and 0 for
-- events that are not published.
SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED;

ALTER TABLE outbox
    ALTER published_at SET DEFAULT '1970-01-01',
    ALTER stream_seq SET DEFAULT 0;

UPDATE outbox SET published_at = '1970-01-01' WHERE published_at IS NULL;
UPDATE outbox SET stream_seq = 0 WHERE stream_seq IS NULL;

ALTER TABLE outbox
    MODIFY published_at DATETIME(6)     NOT NULL DEFAULT '1970-01-01' COMMENT 'UTC; when the PubAck was settled, 1970 before that',
    MODIFY stream_seq   BIGINT UNSIGNED NOT NULL DEFAULT 0 COMMENT 'sequence in the stream, from the PubAck; 0 before that';

CREATE OR REPLACE SQL SECURITY INVOKER VIEW outbox_text AS
SELECT seq,
       LOWER(CONCAT_WS('-', HEX(SUBSTR(event_id, 1, 4)), HEX(SUBSTR(event_id, 5, 2)), HEX(SUBSTR(event_id, 7, 2)), HEX(SUBSTR(event_id, 9, 2)), HEX(SUBSTR(event_id, 11, 6)))) AS event_id,
       aggregate_type,
       LOWER(CONCAT_WS('-', HEX(SUBSTR(aggregate_id, 1, 4)), HEX(SUBSTR(aggregate_id, 5, 2)), HEX(SUBSTR(aggregate_id, 7, 2)), HEX(SUBSTR(aggregate_id, 9, 2)), HEX(SUBSTR(aggregate_id, 11, 6)))) AS aggregate_id,
       aggregate_version, event_type, subject, payload, headers, occurred_at,
       state, attempts, next_attempt_at, last_error,
       NULLIF(published_at, '1970-01-01') AS published_at,
       NULLIF(stream_seq, 0) AS stream_seq,
       heal_epoch, discarded_at
FROM outbox;
