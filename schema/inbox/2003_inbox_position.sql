-- The consumer's place in the stream, in the database of the effects.

-- How far the stream has been read, beside the effects of what was read: a database that steps back takes this with it, and
-- what the broker believes to be done is compared with it. All of it is about one reading: a stream as it was read, which is
-- another one when other messages stand in it.
CREATE TABLE inbox_position (
    consumer       VARCHAR(64)     NOT NULL COMMENT 'durable name',
    reading        BINARY(16)      NOT NULL COMMENT 'a name for the stream with these messages; the consumer at the broker carries it, too',
    floor_seq      BIGINT UNSIGNED NOT NULL COMMENT 'every message up to here has had its effect, or is gone from the stream',
    start_seq      BIGINT UNSIGNED NOT NULL COMMENT 'a new durable consumer reads from here or later; what is unread below is read as history',
    counted_seq    BIGINT UNSIGNED NOT NULL COMMENT 'what is missing in the stream up to here had been read before, or nobody can know',
    gone           BIGINT UNSIGNED NOT NULL DEFAULT 0 COMMENT 'messages that the stream dropped before they were read',
    -- the last message that was read: the stream still holds it there, or is another one
    mark_seq       BIGINT UNSIGNED NULL,
    mark_stored_ns BIGINT          NULL COMMENT 'when the broker stored it: nanoseconds since 1970',
    mark_id        VARCHAR(255)    NULL COMMENT 'its ce-id, or its Nats-Msg-Id',
    mark_event_id  BINARY(16)      NULL COMMENT 'the event that has a row in inbox for it, if it has one',
    reader         BINARY(16)      NULL COMMENT 'the process that reads history',
    reader_until   DATETIME(6)     NULL COMMENT 'UTC; the end of its lease',
    PRIMARY KEY (consumer)
) ENGINE = InnoDB
  DEFAULT CHARACTER SET = utf8mb4
  COLLATE = utf8mb4_bin;

-- What was read above the floor, a row for each run of messages of a batch, written before the batch is acknowledged. Rows that
-- touch each other are joined every few seconds, and those at the floor raise it: the table stays small.
CREATE TABLE inbox_read (
    id             BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
    consumer       VARCHAR(64)     NOT NULL,
    reading        BINARY(16)      NOT NULL,
    from_seq       BIGINT UNSIGNED NOT NULL,
    to_seq         BIGINT UNSIGNED NOT NULL,
    -- the message at to_seq; NULL if there is none
    mark_stored_ns BIGINT          NULL,
    mark_id        VARCHAR(255)    NULL,
    mark_event_id  BINARY(16)      NULL,
    PRIMARY KEY (id)
) ENGINE = InnoDB
  DEFAULT CHARACTER SET = utf8mb4
  COLLATE = utf8mb4_bin;

-- Each time that a part of the stream was read again, and who or what asked for it.
CREATE TABLE inbox_reread (
    id       BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
    consumer VARCHAR(64)     NOT NULL,
    from_seq BIGINT UNSIGNED NOT NULL,
    cause    VARCHAR(32)     NOT NULL COMMENT 'operator, or what the service found',
    reason   VARCHAR(1000)   NULL COMMENT 'of the operator',
    at       DATETIME(6)     NOT NULL DEFAULT (UTC_TIMESTAMP(6)) COMMENT 'UTC',
    PRIMARY KEY (id)
) ENGINE = InnoDB
  DEFAULT CHARACTER SET = utf8mb4
  COLLATE = utf8mb4_bin;
