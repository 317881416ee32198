-- Who had a verb print personal data: every verb masks addresses without --show-personal-data. A row is written before anything is
-- printed, and stays: it is the record.
CREATE TABLE disclosure (
    id           BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
    disclosed_at DATETIME(6)     NOT NULL DEFAULT (UTC_TIMESTAMP(6)) COMMENT 'UTC',
    actor        VARCHAR(100)    NOT NULL,
    verb         VARCHAR(1000)   NOT NULL COMMENT 'the program, the verb and its arguments, addresses masked and secrets left out',
    PRIMARY KEY (id)
) ENGINE = InnoDB
  DEFAULT CHARACTER SET = utf8mb4
  COLLATE = utf8mb4_bin;
