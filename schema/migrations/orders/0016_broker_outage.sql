-- Why the relay that holds the lease publishes nothing: an operator who sees a backlog grow looks here first.
ALTER TABLE relay_lease
    ADD COLUMN outage       VARCHAR(1000) NULL COMMENT 'why the broker takes no events from the holder. NULL: it takes them',
    ADD COLUMN outage_since DATETIME(6)   NULL COMMENT 'UTC, by the database clock. NULL: it takes them',
    ALGORITHM = INSTANT;
