-- Versions of an aggregate that never came, and that a person gave up so that the later ones go on: the record of it.
CREATE TABLE inbox_skipped (
    id             BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
    consumer       VARCHAR(64)     NOT NULL,
    aggregate_type VARCHAR(64)     NOT NULL,
    aggregate_id   BINARY(16)      NOT NULL,
    from_version   INT UNSIGNED    NOT NULL COMMENT 'the first that was skipped',
    to_version     INT UNSIGNED    NOT NULL COMMENT 'the last that was skipped',
    reason         VARCHAR(1000)   NOT NULL,
    skipped_at     DATETIME(6)     NOT NULL DEFAULT (UTC_TIMESTAMP(6)) COMMENT 'UTC',
    PRIMARY KEY (id)
) ENGINE = InnoDB
  DEFAULT CHARACTER SET = utf8mb4
  COLLATE = utf8mb4_bin;
