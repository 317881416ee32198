-- The inbox: one row is one event whose effect is committed, written in the transaction of that effect.
CREATE TABLE inbox (
    consumer          VARCHAR(64)     NOT NULL COMMENT 'durable name',
    event_id          BINARY(16)      NOT NULL COMMENT 'ce-id of the message',
    event_type        VARCHAR(100)    NOT NULL,
    aggregate_type    VARCHAR(64)     NOT NULL,
    aggregate_id      BINARY(16)      NOT NULL,
    aggregate_version INT UNSIGNED    NULL,
    payload_sha256    BINARY(32)      NOT NULL COMMENT 'tells a redelivery from another event under a used id',
    stream_seq        BIGINT UNSIGNED NOT NULL,
    received_at       DATETIME(6)     NOT NULL DEFAULT (UTC_TIMESTAMP(6)) COMMENT 'UTC',
    PRIMARY KEY (consumer, event_id),
    -- purging by age, in bounded batches
    KEY received (received_at)
) ENGINE = InnoDB
  DEFAULT CHARACTER SET = utf8mb4
  COLLATE = utf8mb4_bin;

-- The version gate: the last version of each aggregate whose effect is committed.
CREATE TABLE inbox_gate (
    consumer       VARCHAR(64)  NOT NULL,
    aggregate_type VARCHAR(64)  NOT NULL,
    aggregate_id   BINARY(16)   NOT NULL,
    version        INT UNSIGNED NOT NULL,
    updated_at     DATETIME(6)  NOT NULL COMMENT 'UTC',
    PRIMARY KEY (consumer, aggregate_type, aggregate_id)
) ENGINE = InnoDB
  DEFAULT CHARACTER SET = utf8mb4
  COLLATE = utf8mb4_bin;
