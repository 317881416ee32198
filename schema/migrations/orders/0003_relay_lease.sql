-- Who drains the outbox. One row; `epoch` is the fencing token that every settle checks.
CREATE TABLE relay_lease (
    name       VARCHAR(64)     NOT NULL,
    holder     VARCHAR(100)    NULL COMMENT 'NULL when released',
    epoch      BIGINT UNSIGNED NOT NULL COMMENT 'grows by one with every change of holder',
    expires_at DATETIME(6)     NOT NULL COMMENT 'UTC, by the database clock',
    PRIMARY KEY (name)
) ENGINE = InnoDB
  DEFAULT CHARACTER SET = utf8mb4
  COLLATE = utf8mb4_bin;

INSERT INTO relay_lease (name, holder, epoch, expires_at)
VALUES ('outbox', NULL, 0, '1970-01-01 00:00:00');
