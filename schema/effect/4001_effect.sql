-- Effects outside of the database, such as a charge at a payment provider or an email: each is written in the transaction that wants it,
-- performed outside of any, and concluded in a transaction of its own. Effects that were tried before are claimed apart from
-- those that were not: however many wait or hang, new ones go.
CREATE TABLE effect (
    id              BINARY(16)                                          NOT NULL COMMENT 'UUIDv7; the idempotency key of every attempt',
    queue           VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin   NOT NULL COMMENT 'who performs it',
    subject         VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin   NOT NULL COMMENT 'the id of what it is about, such as a payment',
    kind            VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin   NOT NULL COMMENT 'for example charge',
    body            JSON                                                NOT NULL COMMENT 'what the performer needs to know',
    traceparent     VARCHAR(55) CHARACTER SET ascii COLLATE ascii_bin   NULL COMMENT 'W3C Trace Context of what wanted it: each attempt is below that',
    created_at      DATETIME(6)                                         NOT NULL DEFAULT (UTC_TIMESTAMP(6)) COMMENT 'UTC',

    state           ENUM ('pending', 'done', 'withdrawn', 'dead', 'discarded') NOT NULL DEFAULT 'pending',
    attempts        INT UNSIGNED                                        NOT NULL DEFAULT 0 COMMENT 'attempts that were spent; an outage of the other side spends none',
    put_off         INT UNSIGNED                                        NOT NULL DEFAULT 0 COMMENT 'how often it was put off since the last attempt that was spent',
    is_unknown      TINYINT(1)                                          NOT NULL DEFAULT 0 COMMENT 'an attempt began whose outcome nobody has recorded: it may have happened. Set by each claim',
    next_attempt_at DATETIME(6)                                         NOT NULL DEFAULT (UTC_TIMESTAMP(6)) COMMENT 'UTC; while it is performed, the end of the lease',
    claimed_by      CHAR(36) CHARACTER SET ascii COLLATE ascii_bin      NULL COMMENT 'the claim that holds it; of one that is done, the claim that concluded it',
    last_error      VARCHAR(1000)                                       NULL,
    ended_at        DATETIME(6)                                         NULL COMMENT 'UTC; when it left the state pending',
    is_retry        TINYINT(1) GENERATED ALWAYS AS (attempts > 0 OR put_off > 0 OR is_unknown) VIRTUAL COMMENT 'whether it was tried before',

    PRIMARY KEY (id),
    -- the claims: WHERE queue = ? AND state = 'pending' AND is_retry = ? AND next_attempt_at <= now ORDER BY next_attempt_at
    KEY tries (queue, state, is_retry, next_attempt_at),
    -- lists of one state: WHERE state = ? AND id > ? ORDER BY id
    KEY state_id (state, id),
    -- all effects of one thing: WHERE subject = ? ORDER BY id
    KEY subject (subject, id),
    -- retention: WHERE queue = ? AND state = ? AND ended_at < ? ORDER BY ended_at
    KEY ended (queue, state, ended_at)
) ENGINE = InnoDB
  DEFAULT CHARACTER SET = utf8mb4
  COLLATE = utf8mb4_bin;

-- What people decided about effects. Rows stay: they are the record.
CREATE TABLE effect_action (
    id         BIGINT UNSIGNED             NOT NULL AUTO_INCREMENT,
    acted_at   DATETIME(6)                 NOT NULL DEFAULT (UTC_TIMESTAMP(6)) COMMENT 'UTC',
    actor      VARCHAR(100)                NOT NULL,
    action     ENUM ('requeue', 'discard') NOT NULL,
    effect_id  BINARY(16)                  NOT NULL,
    last_error VARCHAR(1000)               NULL COMMENT 'the effect''s, until then',
    reason     VARCHAR(1000)               NOT NULL,
    PRIMARY KEY (id),
    -- effect show ID
    KEY effect (effect_id, id)
) ENGINE = InnoDB
  DEFAULT CHARACTER SET = utf8mb4
  COLLATE = utf8mb4_bin;

-- The effects with their ids as text and without the addresses that the other side quoted, for people. BIN_TO_UUID would be shorter, but MariaDB has none.
CREATE SQL SECURITY INVOKER VIEW effect_text AS
SELECT LOWER(CONCAT_WS('-', HEX(SUBSTR(id, 1, 4)), HEX(SUBSTR(id, 5, 2)), HEX(SUBSTR(id, 7, 2)), HEX(SUBSTR(id, 9, 2)), HEX(SUBSTR(id, 11, 6)))) AS id,
       queue, subject, kind, body, created_at, state, attempts, put_off, is_unknown, next_attempt_at, claimed_by, REGEXP_REPLACE(last_error, '[^ <>(),;:"]+@', '***@') AS last_error, ended_at, traceparent
FROM effect;
