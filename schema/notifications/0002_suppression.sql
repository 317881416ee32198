-- Addresses that get no email, whatever they are told of. An email that is enqueued already is held back too. Each cause has a row of
-- its own: an address gets nothing as long as one is left.
CREATE TABLE suppression (
    address  VARCHAR(254)                                              NOT NULL COMMENT 'in lower case, as LOWER makes it: whoever looks an address up does the same',
    cause    ENUM ('bounce', 'complaint', 'unsubscribed', 'operator')  NOT NULL,
    added_at DATETIME(6)                                               NOT NULL DEFAULT (UTC_TIMESTAMP(6)) COMMENT 'UTC',
    added_by VARCHAR(100)                                              NOT NULL COMMENT 'a person, webhook, or notify-svc itself after a bounce',
    reason   VARCHAR(1000)                                             NOT NULL,
    -- whether an address gets no email: WHERE address = ? ORDER BY cause LIMIT 1
    PRIMARY KEY (address, cause),
    -- lists and counts of one cause: WHERE cause = ? AND address > ? ORDER BY address
    KEY cause (cause, address)
) ENGINE = InnoDB
  DEFAULT CHARACTER SET = utf8mb4
  COLLATE = utf8mb4_bin;

-- Who added or removed which address.
CREATE TABLE suppression_action (
    id       BIGINT UNSIGNED                                          NOT NULL AUTO_INCREMENT,
    acted_at DATETIME(6)                                              NOT NULL DEFAULT (UTC_TIMESTAMP(6)) COMMENT 'UTC',
    actor    VARCHAR(100)                                             NOT NULL,
    action   ENUM ('add', 'remove')                                   NOT NULL,
    address  VARCHAR(254)                                             NOT NULL,
    cause    ENUM ('bounce', 'complaint', 'unsubscribed', 'operator') NOT NULL,
    reason   VARCHAR(1000)                                            NOT NULL,
    PRIMARY KEY (id),
    -- what happened to one address: WHERE address = ? ORDER BY id
    KEY address (address, id),
    -- retention: WHERE acted_at < ? ORDER BY acted_at
    KEY acted_at (acted_at)
) ENGINE = InnoDB
  DEFAULT CHARACTER SET = utf8mb4
  COLLATE = utf8mb4_bin;
