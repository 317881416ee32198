-- What needs a person: messages that could not be processed, versions that never came, and a record of every action.

-- Messages that could not be processed, kept whole so that nothing is lost: a person requeues or discards them. After
-- that the row stays as long as a redelivery of the message may look for it, and is then purged; who decided what stays in
-- inbox_action. A message that is larger than the server takes (max_allowed_packet) is kept cut.
CREATE TABLE inbox_dead (
    id             BIGINT UNSIGNED                NOT NULL AUTO_INCREMENT,
    consumer       VARCHAR(64)                    NOT NULL,
    stream_seq     BIGINT UNSIGNED                NOT NULL,
    stored_at      DATETIME(6)                    NOT NULL COMMENT 'UTC; when the broker stored it; with stream_seq it names the message even after the stream was recreated',
    subject        VARCHAR(255)                   NOT NULL,
    headers        JSON                           NOT NULL COMMENT 'an array of [name, value]',
    payload        LONGBLOB                       NOT NULL COMMENT 'the body as it came',
    payload_bytes  BIGINT UNSIGNED                NULL COMMENT 'length of the whole body, if the row has only its beginning',
    payload_sha256 BINARY(32)                     NULL COMMENT 'digest of the whole body, if the row has only its beginning',
    reason         VARCHAR(1000)                  NOT NULL,
    dead_at        DATETIME(6)                    NOT NULL DEFAULT (UTC_TIMESTAMP(6)) COMMENT 'UTC',
    resolution     ENUM ('requeued', 'discarded') NULL COMMENT 'NULL while nobody has decided',
    resolved_at    DATETIME(6)                    NULL COMMENT 'UTC',
    note           VARCHAR(1000)                  NULL COMMENT 'why it was discarded',
    PRIMARY KEY (id),
    -- a redelivered poison message is the same row again
    UNIQUE KEY message (consumer, stream_seq, stored_at),
    -- the open ones: WHERE resolution IS NULL ORDER BY id
    KEY open (resolution, id),
    -- retention: WHERE consumer = ? AND resolved_at < ? ORDER BY resolved_at
    KEY resolved (consumer, resolved_at)
) ENGINE = InnoDB
  DEFAULT CHARACTER SET = utf8mb4
  COLLATE = utf8mb4_bin;

-- Versions of an aggregate that never came, and that a person gave up so that the later ones go on: the record of it.
CREATE TABLE inbox_skipped (
    id             BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
    consumer       VARCHAR(64)     NOT NULL,
    aggregate_type VARCHAR(64)     NOT NULL,
    aggregate_id   VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    from_version   INT UNSIGNED    NOT NULL COMMENT 'the first that was skipped',
    to_version     INT UNSIGNED    NOT NULL COMMENT 'the last that was skipped',
    reason         VARCHAR(1000)   NOT NULL,
    skipped_at     DATETIME(6)     NOT NULL DEFAULT (UTC_TIMESTAMP(6)) COMMENT 'UTC',
    PRIMARY KEY (id),
    -- whether a version that comes late was given up
    KEY aggregate (aggregate_id, to_version)
) ENGINE = InnoDB
  DEFAULT CHARACTER SET = utf8mb4
  COLLATE = utf8mb4_bin;

-- What people decided about messages and aggregates: dead messages, skipped versions, rereads. Rows stay: they are the record.
CREATE TABLE inbox_action (
    id       BIGINT UNSIGNED                                NOT NULL AUTO_INCREMENT,
    acted_at DATETIME(6)                                    NOT NULL DEFAULT (UTC_TIMESTAMP(6)) COMMENT 'UTC',
    actor    VARCHAR(100)                                   NOT NULL,
    action   ENUM ('requeue', 'discard', 'skip', 'reread')  NOT NULL,
    subject  VARCHAR(200)                                   NOT NULL COMMENT 'which message of inbox_dead, which versions of which aggregate, from which sequence',
    reason   VARCHAR(1000)                                  NOT NULL,
    PRIMARY KEY (id)
) ENGINE = InnoDB
  DEFAULT CHARACTER SET = utf8mb4
  COLLATE = utf8mb4_bin;
