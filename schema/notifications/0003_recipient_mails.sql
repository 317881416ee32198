-- How many emails each recipient gets within an hour, for the bound of all replicas together. An email is counted before it is sent, and
-- no more if it did not leave. Counts of hours that passed are purged.
CREATE TABLE recipient_mails (
    hour      INT UNSIGNED NOT NULL COMMENT 'hours since 1970, by the clock of the database',
    recipient BINARY(32)   NOT NULL COMMENT 'SHA-256 of the address in lower case, as LOWER makes it',
    mails     INT UNSIGNED NOT NULL COMMENT 'emails that the transport took, has, or had when a process died',
    PRIMARY KEY (hour, recipient)
) ENGINE = InnoDB
  DEFAULT CHARACTER SET = utf8mb4
  COLLATE = utf8mb4_bin;
