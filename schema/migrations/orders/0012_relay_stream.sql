-- What the relay remembers of the stream that it publishes to, so that it notices when the broker lost what it acknowledged,
-- and up to where the stream is proven: still there after the broker's fsync horizon. A published event is proven if its
-- stream_seq is at most proven_seq; only proven events are purged. One row for each lease, written by its holder only.
CREATE TABLE relay_stream (
    name             VARCHAR(64)     NOT NULL COMMENT 'of the lease',
    created_at       DATETIME(6)     NULL COMMENT 'UTC; when the broker made the stream: another time is another stream. NULL: no relay has looked yet',
    server           VARCHAR(200)    NOT NULL DEFAULT '' COMMENT 'which server answered for the stream, and which run of it',
    first_seq        BIGINT UNSIGNED NOT NULL DEFAULT 0 COMMENT 'of the stream, at the last look',
    last_seq         BIGINT UNSIGNED NOT NULL DEFAULT 0 COMMENT 'of the stream, at the last look',
    last_stored_at   DATETIME(6)     NULL COMMENT 'UTC; when the message of last_seq was stored, by the broker''s clock',
    deleted          BIGINT UNSIGNED NOT NULL DEFAULT 0 COMMENT 'messages missing between first_seq and last_seq, at the last look',
    looked_at        DATETIME(6)     NULL COMMENT 'UTC, by the database clock',
    proven_seq       BIGINT UNSIGNED NOT NULL DEFAULT 0 COMMENT 'the stream is proven up to this sequence; back to 0 when that turns out to be in doubt',
    proven_stored_at DATETIME(6)     NULL COMMENT 'UTC; when its message was stored, by the broker''s clock',
    proven_at        DATETIME(6)     NULL COMMENT 'UTC, by the database clock; what the stream held then is proven. NULL: nothing is',
    suspicion        VARCHAR(30)     NULL COMMENT 'the sign of a loss that is being looked into; NULL: none',
    lost_at          DATETIME(6)     NULL COMMENT 'UTC; when a loss was last found',
    lost_sign        VARCHAR(30)     NULL COMMENT 'what gave it away',
    healed           BIGINT UNSIGNED NOT NULL DEFAULT 0 COMMENT 'events that were made pending again, since ever',
    PRIMARY KEY (name)
) ENGINE = InnoDB
  DEFAULT CHARACTER SET = utf8mb4
  COLLATE = utf8mb4_bin;

INSERT INTO relay_stream (name) VALUES ('outbox');
