-- What people decided about messages and orders: dead messages, skipped versions, rereads. Rows stay: they are the record.
CREATE TABLE inbox_action (
    id       BIGINT UNSIGNED                                NOT NULL AUTO_INCREMENT,
    acted_at DATETIME(6)                                    NOT NULL DEFAULT (UTC_TIMESTAMP(6)) COMMENT 'UTC',
    actor    VARCHAR(100)                                   NOT NULL,
    action   ENUM ('requeue', 'discard', 'skip', 'reread')  NOT NULL,
    subject  VARCHAR(200)                                   NOT NULL COMMENT 'which message of inbox_dead, which versions of which order, from which sequence',
    reason   VARCHAR(1000)                                  NOT NULL,
    PRIMARY KEY (id)
) ENGINE = InnoDB
  DEFAULT CHARACTER SET = utf8mb4
  COLLATE = utf8mb4_bin;
