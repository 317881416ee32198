-- What makes a repeated POST one order, and what lists of orders read.

-- One row for each Idempotency-Key, inserted in the transaction of its order; deleted some time after it expired.
CREATE TABLE idempotency_keys (
    idempotency_key VARCHAR(128) CHARACTER SET ascii COLLATE ascii_bin NOT NULL COMMENT 'as the client sent it',
    order_id        BINARY(16)                                         NOT NULL COMMENT 'what it placed; the first answer is made of that row',
    expires_at      DATETIME(6)                                        NOT NULL COMMENT 'UTC, by the database clock',
    PRIMARY KEY (idempotency_key),
    -- the purge: WHERE expires_at <= now ORDER BY expires_at LIMIT n
    KEY expiry (expires_at)
) ENGINE = InnoDB
  DEFAULT CHARACTER SET = utf8mb4
  COLLATE = utf8mb4_bin;

-- `shipped` is written by whoever ships, not by order-svc: such an order can't be cancelled.
-- Lists go by id, newest first; UUIDv7 makes that the order of time.
ALTER TABLE orders
    MODIFY status ENUM ('placed', 'cancelled', 'shipped') NOT NULL,
    -- a list of one status: WHERE status = ? AND id < ? ORDER BY id DESC
    ADD KEY by_status (status, id),
    -- a customer's orders: WHERE email = ? AND id < ? ORDER BY id DESC
    ADD KEY by_email (email, id);
