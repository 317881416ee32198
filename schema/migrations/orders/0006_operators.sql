-- What operators do to the outbox: discard, pause, and a record of every deed.
--
-- A discarded event stays in the outbox as a tombstone: the same event id and version, an empty payload. It is
-- published in its turn, so that consumers that wait for its version go on. What it was is kept in outbox_discarded.
ALTER TABLE outbox
    ADD COLUMN discarded_at DATETIME(6) NULL COMMENT 'UTC; set: the row is published as a tombstone',
    ALGORITHM = INSTANT;

CREATE OR REPLACE SQL SECURITY INVOKER VIEW outbox_text AS
SELECT seq,
       LOWER(CONCAT_WS('-', HEX(SUBSTR(event_id, 1, 4)), HEX(SUBSTR(event_id, 5, 2)), HEX(SUBSTR(event_id, 7, 2)), HEX(SUBSTR(event_id, 9, 2)), HEX(SUBSTR(event_id, 11, 6)))) AS event_id,
       aggregate_type,
       LOWER(CONCAT_WS('-', HEX(SUBSTR(aggregate_id, 1, 4)), HEX(SUBSTR(aggregate_id, 5, 2)), HEX(SUBSTR(aggregate_id, 7, 2)), HEX(SUBSTR(aggregate_id, 9, 2)), HEX(SUBSTR(aggregate_id, 11, 6)))) AS aggregate_id,
       aggregate_version, event_type, subject, payload, headers, occurred_at,
       state, attempts, next_attempt_at, last_error, published_at, stream_seq, heal_epoch, discarded_at
FROM outbox;

-- Discarded events as they were. Never purged: an event that was given up is evidence.
CREATE TABLE outbox_discarded (
    id                BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
    discarded_at      DATETIME(6)     NOT NULL DEFAULT (UTC_TIMESTAMP(6)) COMMENT 'UTC',
    discarded_by      VARCHAR(100)    NOT NULL,
    reason            VARCHAR(1000)   NOT NULL COMMENT 'why a person gave it up',
    seq               BIGINT UNSIGNED NOT NULL COMMENT 'its place in the outbox',
    event_id          BINARY(16)      NOT NULL,
    aggregate_type    VARCHAR(64)     NOT NULL,
    aggregate_id      BINARY(16)      NOT NULL,
    aggregate_version INT UNSIGNED    NULL,
    event_type        VARCHAR(100)    NOT NULL,
    subject           VARCHAR(255)    NOT NULL,
    payload           JSON            NOT NULL,
    headers           JSON            NULL,
    occurred_at       DATETIME(6)     NOT NULL COMMENT 'UTC',
    last_error        VARCHAR(1000)   NULL COMMENT 'why it was dead',
    PRIMARY KEY (id),
    -- outbox-relay show EVENT
    KEY event_id (event_id)
) ENGINE = InnoDB
  DEFAULT CHARACTER SET = utf8mb4
  COLLATE = utf8mb4_bin;

-- Subjects that are not published for now. Read by every relay; events that match are held.
CREATE TABLE outbox_pause (
    pattern   VARCHAR(255)  NOT NULL COMMENT 'NATS subject, * and > allowed',
    reason    VARCHAR(1000) NOT NULL,
    paused_by VARCHAR(100)  NOT NULL,
    paused_at DATETIME(6)   NOT NULL DEFAULT (UTC_TIMESTAMP(6)) COMMENT 'UTC',
    PRIMARY KEY (pattern)
) ENGINE = InnoDB
  DEFAULT CHARACTER SET = utf8mb4
  COLLATE = utf8mb4_bin;

-- Who did what, in the transaction that did it.
CREATE TABLE outbox_action (
    id       BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
    acted_at DATETIME(6)     NOT NULL DEFAULT (UTC_TIMESTAMP(6)) COMMENT 'UTC',
    actor    VARCHAR(100)    NOT NULL,
    action   ENUM ('requeue', 'discard', 'replay', 'pause', 'resume', 'purge') NOT NULL,
    scope    VARCHAR(1000)   NOT NULL COMMENT 'what it was done to: event ids, a filter, a pattern',
    reason   VARCHAR(1000)   NULL,
    events   BIGINT UNSIGNED NOT NULL COMMENT 'how many events it changed',
    PRIMARY KEY (id)
) ENGINE = InnoDB
  DEFAULT CHARACTER SET = utf8mb4
  COLLATE = utf8mb4_bin;
