-- What a product costs. The row with an empty product is the price of every product that has none of its own: an order is never
-- left without a price. A change is for orders that are placed after it; a payment keeps the amount that it was made with.
CREATE TABLE prices (
    product    VARCHAR(200) NOT NULL COMMENT 'as orders name it, byte by byte; empty: every other product',
    unit_minor INT UNSIGNED NOT NULL COMMENT 'price of one, in the currency''s minor unit, such as cents',
    currency   CHAR(3) CHARACTER SET ascii COLLATE ascii_bin NOT NULL COMMENT 'ISO 4217, such as EUR',
    PRIMARY KEY (product),
    CONSTRAINT prices_unit_minor_is_above_0 CHECK (unit_minor > 0),
    CONSTRAINT prices_currency_is_three_capitals CHECK (currency REGEXP '^[A-Z]{3}$')
) ENGINE = InnoDB
  DEFAULT CHARACTER SET = utf8mb4
  COLLATE = utf8mb4_bin;

INSERT INTO prices (product, unit_minor, currency)
VALUES ('', 1000, 'EUR');

-- One payment for each order. Every change is decided under the lock of its row, from its state and from what happened.
CREATE TABLE payments (
    id             BINARY(16)      NOT NULL COMMENT 'UUIDv7; see the view payments_text',
    order_id       BINARY(16)      NOT NULL,
    amount_minor   BIGINT UNSIGNED NOT NULL COMMENT 'in the currency''s minor unit, such as cents',
    currency       CHAR(3) CHARACTER SET ascii COLLATE ascii_bin NOT NULL COMMENT 'ISO 4217, such as EUR',
    -- due: to be charged. cancelling: the order was cancelled while the charge was under way, and its outcome is waited for.
    -- withdrawn: the order was cancelled before the charge was tried. refund_declined: the provider keeps the money; a person decides.
    state          ENUM ('due', 'cancelling', 'authorized', 'declined', 'withdrawn', 'refunding', 'refund_declined', 'refunded') NOT NULL,
    version        INT UNSIGNED    NOT NULL DEFAULT 0 COMMENT 'of the last event appended for this payment; 0 before the first',
    charge_id      BINARY(16)      NOT NULL COMMENT 'the effect that takes the money',
    refund_id      BINARY(16)      NULL COMMENT 'the effect that gives it back; the last one',
    intent         VARCHAR(255) CHARACTER SET ascii COLLATE ascii_bin NULL COMMENT 'the provider''s id of what can be paid once; recorded before money moves',
    provider_ref   VARCHAR(255)    NULL COMMENT 'the charge''s id at the provider',
    decline_reason VARCHAR(64)     NULL COMMENT 'the provider''s, of a charge or a refund',
    created_at     DATETIME(6)     NOT NULL DEFAULT (UTC_TIMESTAMP(6)) COMMENT 'UTC',
    updated_at     DATETIME(6)     NOT NULL DEFAULT (UTC_TIMESTAMP(6)) COMMENT 'UTC',
    PRIMARY KEY (id),
    -- an order is charged once, whatever the code above believes
    UNIQUE KEY order_id (order_id),
    -- how many are in which state
    KEY state_id (state, id)
) ENGINE = InnoDB
  DEFAULT CHARACTER SET = utf8mb4
  COLLATE = utf8mb4_bin;

-- What people decided about payments. Rows stay: they are the record.
CREATE TABLE payment_action (
    id           BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
    acted_at     DATETIME(6)     NOT NULL DEFAULT (UTC_TIMESTAMP(6)) COMMENT 'UTC',
    actor        VARCHAR(100)    NOT NULL,
    action       ENUM ('refund', 'settle as charged', 'settle as never charged', 'settle as refunded') NOT NULL,
    payment_id   BINARY(16)      NOT NULL,
    state_before VARCHAR(20)     NOT NULL COMMENT 'the payment''s, until then',
    reason       VARCHAR(1000)   NOT NULL,
    PRIMARY KEY (id),
    -- all about one payment: WHERE payment_id = ? ORDER BY id
    KEY payment (payment_id, id)
) ENGINE = InnoDB
  DEFAULT CHARACTER SET = utf8mb4
  COLLATE = utf8mb4_bin;

-- The payments with their ids as text, for people. BIN_TO_UUID would be shorter, but MariaDB has none.
CREATE SQL SECURITY INVOKER VIEW payments_text AS
SELECT LOWER(CONCAT_WS('-', HEX(SUBSTR(id, 1, 4)), HEX(SUBSTR(id, 5, 2)), HEX(SUBSTR(id, 7, 2)), HEX(SUBSTR(id, 9, 2)), HEX(SUBSTR(id, 11, 6)))) AS id,
       LOWER(CONCAT_WS('-', HEX(SUBSTR(order_id, 1, 4)), HEX(SUBSTR(order_id, 5, 2)), HEX(SUBSTR(order_id, 7, 2)), HEX(SUBSTR(order_id, 9, 2)), HEX(SUBSTR(order_id, 11, 6)))) AS order_id,
       amount_minor, currency, state, version, intent, provider_ref, decline_reason, created_at, updated_at
FROM payments;
