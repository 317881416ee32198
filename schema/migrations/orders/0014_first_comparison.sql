-- What was published before any relay looked at the stream may have been lost by then: it is compared once, a piece at a
-- time, while publishing goes on. Nothing is proven until that is done.
ALTER TABLE relay_stream
    ADD COLUMN history_seq BIGINT UNSIGNED NULL COMMENT 'of the outbox: what was published up to here is still to be compared with the stream, once. NULL: nothing is',
    ALGORITHM = INSTANT;
