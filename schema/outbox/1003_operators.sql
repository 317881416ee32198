-- What operators do to the outbox: discard, pause, and a record of every action.
--
-- A discarded event stays in the outbox as a tombstone: the same event id and version, an empty payload. It is
-- published in its turn, so that consumers that wait for its version go on. What it was is kept in outbox_discarded.

-- Discarded events as they were; purged long after, for what is in them may be somebody's. Who discarded which event stays in
-- outbox_action.
CREATE TABLE outbox_discarded (
    id                BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
    discarded_at      DATETIME(6)     NOT NULL DEFAULT (UTC_TIMESTAMP(6)) COMMENT 'UTC',
    discarded_by      VARCHAR(100)    NOT NULL,
    reason            VARCHAR(1000)   NOT NULL COMMENT 'why a person gave it up',
    seq               BIGINT UNSIGNED NOT NULL COMMENT 'its place in the outbox',
    event_id          BINARY(16)      NOT NULL,
    aggregate_type    VARCHAR(64)     NOT NULL,
    aggregate_id      VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    aggregate_version INT UNSIGNED    NULL,
    event_type        VARCHAR(100)    NOT NULL,
    subject           VARCHAR(255)    NOT NULL,
    payload           JSON            NOT NULL,
    headers           JSON            NULL,
    occurred_at       DATETIME(6)     NOT NULL COMMENT 'UTC',
    last_error        VARCHAR(1000)   NULL COMMENT 'why it was dead',
    PRIMARY KEY (id),
    -- outbox-relay event show EVENT
    KEY event_id (event_id),
    -- retention: WHERE discarded_at < ? ORDER BY discarded_at
    KEY discarded_at (discarded_at)
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
    action   ENUM ('requeue', 'discard', 'replay', 'pause', 'resume', 'purge', 'forget-stream') NOT NULL,
    scope    VARCHAR(1000)   NOT NULL COMMENT 'what it was done to: event ids, a filter, a pattern',
    reason   VARCHAR(1000)   NULL,
    events   BIGINT UNSIGNED NOT NULL COMMENT 'how many events it changed',
    PRIMARY KEY (id)
) ENGINE = InnoDB
  DEFAULT CHARACTER SET = utf8mb4
  COLLATE = utf8mb4_bin;
