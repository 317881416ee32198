-- The effect of an event: a message for the customer, and the queue of the emails to be sent. An email at which the server
-- fails is put off without spending an attempt, and emails that were tried before are claimed apart from those that were not:
-- however many wait or hang, new ones go.
CREATE TABLE notifications (
    id              BINARY(16)                       NOT NULL COMMENT 'UUIDv7; the left part of the Message-ID',
    event_id        BINARY(16)                       NOT NULL,
    event_type      VARCHAR(100)                     NOT NULL,
    order_id        BINARY(16)                       NOT NULL,
    recipient       VARCHAR(254)                     NOT NULL,
    product         VARCHAR(200)                     NOT NULL,
    quantity        INT UNSIGNED                     NOT NULL,
    created_at      DATETIME(6)                      NOT NULL DEFAULT (UTC_TIMESTAMP(6)) COMMENT 'UTC',

    state           ENUM ('pending', 'sent', 'dead') NOT NULL DEFAULT 'pending',
    attempts        INT UNSIGNED                     NOT NULL DEFAULT 0,
    next_attempt_at DATETIME(6)                      NOT NULL DEFAULT (UTC_TIMESTAMP(6)) COMMENT 'UTC; while an email is being sent, the end of its sender''s lease',
    claimed_by      VARCHAR(100)                     NULL COMMENT 'the sender that holds it',
    last_error      VARCHAR(1000)                    NULL,
    sent_at         DATETIME(6)                      NULL COMMENT 'UTC; when the transport took it',
    put_off         INT UNSIGNED                     NOT NULL DEFAULT 0 COMMENT 'how often it was put off since the last attempt that was spent',
    is_retry        TINYINT(1) GENERATED ALWAYS AS (attempts > 0 OR put_off > 0) VIRTUAL COMMENT 'whether it was tried before',
    discarded_at    DATETIME(6)                      NULL COMMENT 'UTC; set: a person gave this dead email up',

    PRIMARY KEY (id),
    -- one effect per event, whatever the code above believes
    UNIQUE KEY event_id (event_id),
    -- GET /api/notifications?order_id=
    KEY order_id (order_id, id),
    -- GET /api/notifications?state=dead: pages of one state, whatever stands between them
    KEY state_id (state, id),
    -- the claims: WHERE state = 'pending' AND is_retry = ? AND next_attempt_at <= now ORDER BY next_attempt_at
    KEY email_tries (state, is_retry, next_attempt_at)
) ENGINE = InnoDB
  DEFAULT CHARACTER SET = utf8mb4
  COLLATE = utf8mb4_bin;

-- What people decided about emails. Rows stay: they are the record.
CREATE TABLE email_action (
    id              BIGINT UNSIGNED               NOT NULL AUTO_INCREMENT,
    acted_at        DATETIME(6)                   NOT NULL DEFAULT (UTC_TIMESTAMP(6)) COMMENT 'UTC',
    actor           VARCHAR(100)                  NOT NULL,
    action          ENUM ('requeue', 'discard')   NOT NULL,
    notification_id BINARY(16)                    NOT NULL,
    last_error      VARCHAR(1000)                 NULL COMMENT 'the email''s, until then',
    reason          VARCHAR(1000)                 NOT NULL,
    PRIMARY KEY (id),
    -- notify-svc email show ID
    KEY notification (notification_id, id)
) ENGINE = InnoDB
  DEFAULT CHARACTER SET = utf8mb4
  COLLATE = utf8mb4_bin;

-- The notifications with their ids as text, for people. BIN_TO_UUID would be shorter, but MariaDB has none.
CREATE SQL SECURITY INVOKER VIEW notifications_text AS
SELECT LOWER(CONCAT_WS('-', HEX(SUBSTR(id, 1, 4)), HEX(SUBSTR(id, 5, 2)), HEX(SUBSTR(id, 7, 2)), HEX(SUBSTR(id, 9, 2)), HEX(SUBSTR(id, 11, 6)))) AS id,
       LOWER(CONCAT_WS('-', HEX(SUBSTR(event_id, 1, 4)), HEX(SUBSTR(event_id, 5, 2)), HEX(SUBSTR(event_id, 7, 2)), HEX(SUBSTR(event_id, 9, 2)), HEX(SUBSTR(event_id, 11, 6)))) AS event_id,
       event_type,
       LOWER(CONCAT_WS('-', HEX(SUBSTR(order_id, 1, 4)), HEX(SUBSTR(order_id, 5, 2)), HEX(SUBSTR(order_id, 7, 2)), HEX(SUBSTR(order_id, 9, 2)), HEX(SUBSTR(order_id, 11, 6)))) AS order_id,
       recipient, product, quantity, created_at,
       state, attempts, put_off, next_attempt_at, claimed_by, last_error, sent_at, discarded_at
FROM notifications;
