-- Events that came ahead of their turn. Nothing of them is applied: the row only says who waits, and since when.
CREATE TABLE inbox_waiting (
    consumer          VARCHAR(64)     NOT NULL,
    aggregate_type    VARCHAR(64)     NOT NULL,
    aggregate_id      BINARY(16)      NOT NULL,
    aggregate_version INT UNSIGNED    NOT NULL,
    event_id          BINARY(16)      NOT NULL,
    stream_seq        BIGINT UNSIGNED NOT NULL,
    deliveries        INT UNSIGNED    NOT NULL,
    since             DATETIME(6)     NOT NULL DEFAULT (UTC_TIMESTAMP(6)) COMMENT 'UTC; when it was first sent back',
    PRIMARY KEY (consumer, aggregate_type, aggregate_id, aggregate_version),
    -- the longest waiting first: WHERE consumer = ? ORDER BY since
    KEY since (consumer, since)
) ENGINE = InnoDB
  DEFAULT CHARACTER SET = utf8mb4
  COLLATE = utf8mb4_bin;
