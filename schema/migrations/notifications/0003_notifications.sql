-- The effect of an event: a message for the customer, and the queue of the emails to be sent.
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

    PRIMARY KEY (id),
    -- one effect per event, whatever the code above believes
    UNIQUE KEY event_id (event_id),
    -- GET /api/notifications?order_id=
    KEY order_id (order_id, id),
    -- the email queue's claim: WHERE state = 'pending' AND next_attempt_at <= now ORDER BY next_attempt_at
    KEY email_queue (state, next_attempt_at)
) ENGINE = InnoDB
  DEFAULT CHARACTER SET = utf8mb4
  COLLATE = utf8mb4_bin;
