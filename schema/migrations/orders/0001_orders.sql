-- The orders themselves. Written by order-svc only.
CREATE TABLE orders (
    id         BINARY(16)                   NOT NULL COMMENT 'UUIDv7; see the view orders_text',
    product    VARCHAR(200)                 NOT NULL,
    quantity   INT UNSIGNED                 NOT NULL,
    email      VARCHAR(254)                 NOT NULL COMMENT 'RFC 5321 mailbox of the customer',
    status     ENUM ('placed', 'cancelled') NOT NULL,
    version    INT UNSIGNED                 NOT NULL COMMENT 'of the last event appended for this order; assigned under the row lock',
    created_at DATETIME(6)                  NOT NULL COMMENT 'UTC',
    updated_at DATETIME(6)                  NOT NULL COMMENT 'UTC',
    PRIMARY KEY (id)
) ENGINE = InnoDB
  DEFAULT CHARACTER SET = utf8mb4
  COLLATE = utf8mb4_bin;
