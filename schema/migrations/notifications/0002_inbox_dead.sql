-- Messages that could not be processed, kept whole so that nothing is lost: a person looks, requeues or discards.
CREATE TABLE inbox_dead (
    id         BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
    consumer   VARCHAR(64)     NOT NULL,
    stream_seq BIGINT UNSIGNED NOT NULL,
    stored_at  DATETIME(6)     NOT NULL COMMENT 'UTC; when the broker stored it; with stream_seq it names the message even after the stream was recreated',
    subject    VARCHAR(255)    NOT NULL,
    headers    JSON            NOT NULL COMMENT 'an array of [name, value]',
    payload    LONGBLOB        NOT NULL COMMENT 'the body as it came',
    reason     VARCHAR(1000)   NOT NULL,
    dead_at    DATETIME(6)     NOT NULL DEFAULT (UTC_TIMESTAMP(6)) COMMENT 'UTC',
    PRIMARY KEY (id),
    -- a redelivered poison message is the same row again
    UNIQUE KEY message (consumer, stream_seq, stored_at)
) ENGINE = InnoDB
  DEFAULT CHARACTER SET = utf8mb4
  COLLATE = utf8mb4_bin;
