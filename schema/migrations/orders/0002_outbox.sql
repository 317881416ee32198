-- The outbox: one row is one event, written in the transaction that makes it true.
--
-- Any program may write it. Required columns: aggregate_type, aggregate_id, event_type, subject, payload.
-- Everything from `state` on belongs to outbox-relay; writers leave those columns out.
CREATE TABLE outbox (
    seq               BIGINT UNSIGNED NOT NULL AUTO_INCREMENT COMMENT 'insertion order; neither commit order nor an identity',
    event_id          BINARY(16)      NOT NULL DEFAULT (UNHEX(REPLACE(UUID(), '-', ''))) COMMENT 'the identity of the event and its Nats-Msg-Id',
    aggregate_type    VARCHAR(64)     NOT NULL COMMENT 'for example order',
    aggregate_id      BINARY(16)      NOT NULL,
    aggregate_version INT UNSIGNED    NULL COMMENT 'consecutive from 1 within the aggregate; NULL for a writer that keeps none',
    event_type        VARCHAR(100)    NOT NULL COMMENT 'for example order.created',
    subject           VARCHAR(255)    NOT NULL COMMENT 'NATS subject; must be one that the stream takes',
    payload           JSON            NOT NULL COMMENT 'a JSON object; becomes the body of the message',
    headers           JSON            NULL COMMENT 'an object of strings added to the message, for example traceparent',
    occurred_at       DATETIME(6)     NOT NULL DEFAULT (UTC_TIMESTAMP(6)) COMMENT 'UTC',

    state             ENUM ('pending', 'published', 'held', 'dead') NOT NULL DEFAULT 'pending',
    attempts          INT UNSIGNED    NOT NULL DEFAULT 0 COMMENT 'failed publishes that were this event''s own fault; an outage spends none',
    next_attempt_at   DATETIME(6)     NULL COMMENT 'UTC; not claimed before',
    last_error        VARCHAR(1000)   NULL,
    published_at      DATETIME(6)     NULL COMMENT 'UTC; when the PubAck was settled',
    stream_seq        BIGINT UNSIGNED NULL COMMENT 'sequence in the stream, from the PubAck',
    heal_epoch        INT UNSIGNED    NOT NULL DEFAULT 0 COMMENT 'how often the broker lost this event after acknowledging it',

    PRIMARY KEY (seq),
    UNIQUE KEY event_id (event_id),
    -- one order's story, and the check that no elder event of an aggregate stands in the way
    UNIQUE KEY aggregate (aggregate_type, aggregate_id, aggregate_version),
    -- the claim: WHERE state = 'pending' ORDER BY seq; also the counts by state
    KEY claim (state, seq)
) ENGINE = InnoDB
  DEFAULT CHARACTER SET = utf8mb4
  COLLATE = utf8mb4_bin;
