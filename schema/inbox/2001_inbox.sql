-- What a consumer keeps of the events that it had, so that each has one effect and those of one aggregate have theirs in order.
-- The consumer checks aggregate ids when it reads a message, so these tables have no CHECK of them.

-- One row is one event whose effect is committed, written in the transaction of that effect.
CREATE TABLE inbox (
    consumer          VARCHAR(64)     NOT NULL COMMENT 'durable name',
    event_id          BINARY(16)      NOT NULL COMMENT 'ce-id of the message',
    event_type        VARCHAR(100)    NOT NULL,
    aggregate_type    VARCHAR(64)     NOT NULL,
    aggregate_id      VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    aggregate_version INT UNSIGNED    NULL,
    payload_sha256    BINARY(32)      NOT NULL COMMENT 'tells a redelivery from another event under a used id',
    stream_seq        BIGINT UNSIGNED NOT NULL,
    received_at       DATETIME(6)     NOT NULL DEFAULT (UTC_TIMESTAMP(6)) COMMENT 'UTC',
    PRIMARY KEY (consumer, event_id),
    -- purging by age, in bounded batches: WHERE consumer = ? AND received_at < limit ORDER BY received_at
    KEY received (consumer, received_at),
    -- which event had this version: tells a repeat from another event with a used version
    KEY version (aggregate_id, aggregate_version)
) ENGINE = InnoDB
  DEFAULT CHARACTER SET = utf8mb4
  COLLATE = utf8mb4_bin;

-- The version gate: the last version of each aggregate whose effect is committed. Who writes or applies a row of an aggregate
-- holds the lock of its gate: a gate at version 0 is one that only has parked events behind it.
CREATE TABLE inbox_gate (
    consumer       VARCHAR(64)  NOT NULL,
    aggregate_type VARCHAR(64)  NOT NULL,
    aggregate_id   VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    version        INT UNSIGNED NOT NULL,
    updated_at     DATETIME(6)  NOT NULL COMMENT 'UTC',
    PRIMARY KEY (consumer, aggregate_type, aggregate_id)
) ENGINE = InnoDB
  DEFAULT CHARACTER SET = utf8mb4
  COLLATE = utf8mb4_bin;

-- Events that can't have their effect yet, whole: an earlier version of their aggregate has not come, or the database refuses
-- the effect. The broker has its acknowledgement; the row goes in the transaction of the effect.
CREATE TABLE inbox_parked (
    consumer          VARCHAR(64)     NOT NULL COMMENT 'durable name',
    event_id          BINARY(16)      NOT NULL COMMENT 'ce-id of the message',
    event_type        VARCHAR(100)    NOT NULL,
    aggregate_type    VARCHAR(64)     NOT NULL,
    aggregate_id      VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
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
    -- what follows a version: one read by the key
    UNIQUE KEY version (consumer, aggregate_type, aggregate_id, aggregate_version),
    -- the longest waiting first: WHERE consumer = ? ORDER BY parked_at
    KEY parked_at (consumer, parked_at),
    -- what is to be tried: WHERE consumer = ? AND due_at <= now ORDER BY due_at
    KEY due (consumer, due_at)
) ENGINE = InnoDB
  DEFAULT CHARACTER SET = utf8mb4
  COLLATE = utf8mb4_bin;

-- The inbox with its ids as text, for people. BIN_TO_UUID would be shorter, but MariaDB has none.
CREATE SQL SECURITY INVOKER VIEW inbox_text AS
SELECT consumer,
       LOWER(CONCAT_WS('-', HEX(SUBSTR(event_id, 1, 4)), HEX(SUBSTR(event_id, 5, 2)), HEX(SUBSTR(event_id, 7, 2)), HEX(SUBSTR(event_id, 9, 2)), HEX(SUBSTR(event_id, 11, 6)))) AS event_id,
       event_type, aggregate_type, aggregate_id, aggregate_version,
       LOWER(HEX(payload_sha256)) AS payload_sha256, stream_seq, received_at
FROM inbox;
