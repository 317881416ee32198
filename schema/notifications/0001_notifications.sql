-- The effect of an event: a message for the customer. Its email is an effect outside of the database, in the table effect, with
-- the notification's id.
CREATE TABLE notifications (
    id         BINARY(16)   NOT NULL COMMENT 'UUIDv7; the id of the email''s effect, and the left part of its Message-ID',
    event_id   BINARY(16)   NOT NULL,
    event_type VARCHAR(100) NOT NULL,
    order_id   BINARY(16)   NOT NULL,
    recipient  VARCHAR(254) NOT NULL,
    product    VARCHAR(200) NOT NULL,
    quantity   INT UNSIGNED NOT NULL,
    created_at DATETIME(6)  NOT NULL DEFAULT (UTC_TIMESTAMP(6)) COMMENT 'UTC',
    sent_at    DATETIME(6)  NULL COMMENT 'UTC; when the transport took the email',
    suppressed ENUM ('bounce', 'complaint', 'unsubscribed', 'operator') NULL COMMENT 'why the address got no email, if it got none',
    is_sent    TINYINT(1) GENERATED ALWAYS AS (sent_at IS NOT NULL) VIRTUAL COMMENT 'whether the transport took the email',

    PRIMARY KEY (id),
    -- one effect per event, whatever the code above believes
    UNIQUE KEY event_id (event_id),
    -- GET /api/notifications?order_id=
    KEY order_id (order_id, id),
    -- GET /api/notifications?state=sent
    KEY is_sent (is_sent, id),
    -- GET /api/notifications?state=suppressed, and how many there are of each cause
    KEY suppressed (suppressed, id),
    -- retention: WHERE created_at < ? ORDER BY created_at
    KEY created (created_at)
) ENGINE = InnoDB
  DEFAULT CHARACTER SET = utf8mb4
  COLLATE = utf8mb4_bin;
