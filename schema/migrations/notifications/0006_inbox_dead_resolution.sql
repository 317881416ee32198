-- What a person decided about a dead message. The row stays: it is the record of the decision, and a redelivery of the
-- message finds it.
ALTER TABLE inbox_dead
    ADD COLUMN resolution  ENUM ('requeued', 'discarded') NULL COMMENT 'NULL while nobody has decided',
    ADD COLUMN resolved_at DATETIME(6)                    NULL COMMENT 'UTC',
    ADD COLUMN note        VARCHAR(1000)                  NULL COMMENT 'why it was discarded',
    -- the open ones: WHERE resolution IS NULL ORDER BY id
    ADD KEY open (resolution, id);
