-- The orders themselves. Written by order-svc only, but for the status `shipped`: whoever ships writes that, and such an order
-- can't be cancelled. Lists go by id, newest first; UUIDv7 makes that the order of time.
CREATE TABLE orders (
    id         BINARY(16)                              NOT NULL COMMENT 'UUIDv7; see the view orders_text',
    customer   VARCHAR(255) CHARACTER SET ascii COLLATE ascii_bin NULL     COMMENT 'sub of the token it was placed with; NULL where nobody is asked for one',
    product    VARCHAR(200)                            NOT NULL,
    quantity   INT UNSIGNED                            NOT NULL,
    email      VARCHAR(254)                            NULL     COMMENT 'RFC 5321 mailbox of the customer, which stands nowhere else; NULL once it was erased',
    status     ENUM ('placed', 'cancelled', 'shipped') NOT NULL,
    payment    ENUM ('due', 'authorized', 'declined', 'refunded') NOT NULL DEFAULT 'due' COMMENT 'as the payment events told',
    version    INT UNSIGNED                            NOT NULL COMMENT 'of the last event appended for this order; assigned under the row lock',
    created_at DATETIME(6)                             NOT NULL COMMENT 'UTC',
    updated_at DATETIME(6)                             NOT NULL COMMENT 'UTC',
    email_lower VARCHAR(254) AS (LOWER(email)) VIRTUAL COMMENT 'by this an address is found, counted and erased: mail servers take both cases for one',
    PRIMARY KEY (id),
    -- a list of one status: WHERE status = ? AND id < ? ORDER BY id DESC
    KEY by_status (status, id),
    -- the orders of who asks: WHERE customer = ? AND id < ? ORDER BY id DESC
    KEY by_customer (customer, id),
    -- the orders with an address: WHERE email_lower = ? AND id < ? ORDER BY id DESC
    KEY by_email (email_lower, id)
) ENGINE = InnoDB
  DEFAULT CHARACTER SET = utf8mb4
  COLLATE = utf8mb4_bin;

-- The orders with their ids as text and without addresses, for people. BIN_TO_UUID would be shorter, but MariaDB has none.
CREATE SQL SECURITY INVOKER VIEW orders_text AS
SELECT LOWER(CONCAT_WS('-', HEX(SUBSTR(id, 1, 4)), HEX(SUBSTR(id, 5, 2)), HEX(SUBSTR(id, 7, 2)), HEX(SUBSTR(id, 9, 2)), HEX(SUBSTR(id, 11, 6)))) AS id,
       customer, product, quantity, status, payment, version, created_at, updated_at
FROM orders;

-- What makes a repeated POST one order: one row for each Idempotency-Key, inserted in the transaction of its order; deleted
-- some time after it expired.
CREATE TABLE idempotency_keys (
    idempotency_key VARCHAR(384) CHARACTER SET ascii COLLATE ascii_bin NOT NULL COMMENT 'as the client sent it; after the customer and a space, if there is one',
    order_id        BINARY(16)                                         NOT NULL COMMENT 'what it placed; the first answer is made of that row',
    expires_at      DATETIME(6)                                        NOT NULL COMMENT 'UTC, by the database clock',
    PRIMARY KEY (idempotency_key),
    -- the purge: WHERE expires_at <= now ORDER BY expires_at LIMIT n
    KEY expiry (expires_at)
) ENGINE = InnoDB
  DEFAULT CHARACTER SET = utf8mb4
  COLLATE = utf8mb4_bin;

-- Who exported or erased what is kept of a customer. An erasure has a row for each of its transactions. The address is not here:
-- its digest tells whether a row is about one that somebody names.
CREATE TABLE customer_action (
    id             BIGINT UNSIGNED                                      NOT NULL AUTO_INCREMENT,
    acted_at       DATETIME(6)                                          NOT NULL DEFAULT (UTC_TIMESTAMP(6)) COMMENT 'UTC',
    actor          VARCHAR(100)                                         NOT NULL,
    action         ENUM ('export', 'erase')                             NOT NULL,
    customer       VARCHAR(255) CHARACTER SET ascii COLLATE ascii_bin   NULL     COMMENT 'sub, if that is how the customer was named',
    address_sha256 BINARY(32)                                           NULL     COMMENT 'SHA-256 of the address in lower case, if that is how',
    orders         BIGINT UNSIGNED                                      NOT NULL COMMENT 'how many it was about',
    reason         VARCHAR(1000)                                        NOT NULL,
    PRIMARY KEY (id)
) ENGINE = InnoDB
  DEFAULT CHARACTER SET = utf8mb4
  COLLATE = utf8mb4_bin;
