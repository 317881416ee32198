-- Events that can't have their effect yet, whole: an earlier version of their order has not come, or the database refuses
-- the effect. The broker has its acknowledgement; the row goes in the transaction of the effect.
-- Who writes or applies a row of an order holds the lock of the order's gate: a gate at version 0 is one that only has
-- parked events behind it.
CREATE TABLE inbox_parked (
    consumer          VARCHAR(64)     NOT NULL COMMENT 'durable name',
    event_id          BINARY(16)      NOT NULL COMMENT 'ce-id of the message',
    event_type        VARCHAR(100)    NOT NULL,
    aggregate_type    VARCHAR(64)     NOT NULL,
    aggregate_id      BINARY(16)      NOT NULL,
    aggregate_version INT UNSIGNED    NULL,
    payload_sha256    BINARY(32)      NOT NULL COMMENT 'tells a redelivery from another event under a used id',
    stream_seq        BIGINT UNSIGNED NOT NULL,
    stored_at         DATETIME(6)     NOT NULL COMMENT 'UTC; when the broker stored it',
    subject           VARCHAR(255)    NOT NULL,
    headers           JSON            NOT NULL COMMENT 'an array of [name, value]',
    payload           LONGBLOB        NOT NULL COMMENT 'the body as it came',
    parked_at         DATETIME(6)     NOT NULL DEFAULT (UTC_TIMESTAMP(6)) COMMENT 'UTC',
    attempts          INT UNSIGNED    NOT NULL DEFAULT 0 COMMENT 'times that the database refused the effect',
    due_at            DATETIME(6)     NULL COMMENT 'UTC; when it is tried next. NULL while an earlier version is missing',
    PRIMARY KEY (consumer, event_id),
    -- what follows a version: one look-up
    UNIQUE KEY version (consumer, aggregate_type, aggregate_id, aggregate_version),
    -- the longest waiting first: WHERE consumer = ? ORDER BY parked_at
    KEY parked_at (consumer, parked_at),
    -- what is to be tried: WHERE consumer = ? AND due_at <= now ORDER BY due_at
    KEY due (consumer, due_at)
) ENGINE = InnoDB
  DEFAULT CHARACTER SET = utf8mb4
  COLLATE = utf8mb4_bin;

-- It told which messages wait at the broker. None does any more.
DROP TABLE inbox_waiting;

-- Which event had this version: tells a repeat from another event with a used version.
ALTER TABLE inbox
    ADD KEY version (aggregate_id, aggregate_version);

-- Whether a version that comes late was given up.
ALTER TABLE inbox_skipped
    ADD KEY aggregate (aggregate_id, to_version);

-- A message that is larger than the server takes (max_allowed_packet) is kept cut.
ALTER TABLE inbox_dead
    ADD COLUMN payload_bytes  BIGINT UNSIGNED NULL COMMENT 'length of the whole body, if the row has only its beginning',
    ADD COLUMN payload_sha256 BINARY(32)      NULL COMMENT 'digest of the whole body, if the row has only its beginning';
