-- `holder` is made afresh for each tenure, and it is what every statement of a relay compares: `epoch` comes back after a failover to
-- a replica that lagged, or after a restore, and two relays would be active. No relay believes the database clock: one takes the
-- lease when the row has not changed for a lease time by its own.
ALTER TABLE relay_lease
    MODIFY holder     VARCHAR(100)    NULL COMMENT 'one tenure of one relay, never the same again: the token that every statement compares. NULL when released',
    MODIFY epoch      BIGINT UNSIGNED NOT NULL COMMENT 'grows by one with every change of holder; for people, it may come back after a failover',
    MODIFY expires_at DATETIME(6)     NOT NULL COMMENT 'UTC, by the database clock, for people; it changes with each renewal, which is what other relays watch',
    ALGORITHM = INSTANT;
