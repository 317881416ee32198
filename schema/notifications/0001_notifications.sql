-- The effect of an event: a message for the customer, whose address is in the database of order-svc alone. Its email is an effect outside of the database, in the table effect, with
-- the notification's id.
CREATE TABLE notifications (
    id         BINARY(16)   NOT NULL COMMENT 'UUIDv7; the id of the email''s effect, and the left part of its Message-ID',
    event_id   BINARY(16)   NOT NULL,
    event_type VARCHAR(100) NOT NULL,
    order_id   BINARY(16)   NOT NULL,
    product    VARCHAR(200) NOT NULL,
    quantity   INT UNSIGNED NOT NULL,
    created_at DATETIME(6)  NOT NULL DEFAULT (UTC_TIMESTAMP(6)) COMMENT 'UTC',
    sent_at    DATETIME(6)  NULL COMMENT 'UTC; when the transport took the email',
    suppressed ENUM ('bounce', 'complaint', 'unsubscribed', 'operator', 'erased') NULL COMMENT 'why the email was held back, if it was',
    ended      VARCHAR(12) GENERATED ALWAYS AS (CASE WHEN sent_at IS NOT NULL THEN 'sent' ELSE suppressed END) VIRTUAL COMMENT 'sent, or why it was not; NULL while it may be',

    PRIMARY KEY (id),
    -- one effect per event, whatever the code above believes
    UNIQUE KEY event_id (event_id),
    -- GET /api/notifications?order_id=
    KEY order_id (order_id, id),
    -- GET /api/notifications?state=sent or suppressed, and how many were suppressed for each cause
    KEY ended (ended, id)
) ENGINE = InnoDB
  DEFAULT CHARACTER SET = utf8mb4
  COLLATE = utf8mb4_bin;
