-- What any program may write must neither stand in another event's way nor blind an alert.
--
-- aggregate_type: in a padding collation 'order ' and 'order' are one key, so a row of the one took a version of the other, and
-- the writer of the other got a duplicate key for ever. The new one tells them apart; MySQL and MariaDB name it differently.
--
-- inserted_at: when a row came, by the database clock. occurred_at is the writer's: of another time zone, of year 1, or of an
-- import. Ages and latencies are told from here. Rows that are there already count as inserted now.
--
-- Both need the table to be rebuilt, once: about a minute for a few million events, in which nothing is appended.
ALTER TABLE outbox
    MODIFY aggregate_type VARCHAR(64) CHARACTER SET utf8mb4 COLLATE /*!80017 utf8mb4_0900_bin */ /*M! utf8mb4_nopad_bin */ NOT NULL COMMENT 'for example order; no white space at its ends',
    MODIFY payload JSON NOT NULL COMMENT 'a JSON object; becomes the body of the message. MySQL keeps values and not the text: numbers beyond 64 bits are rounded, of a key that occurs twice the last value stays, and a binary string becomes base64:type...',
    ADD COLUMN inserted_at DATETIME(6) NOT NULL DEFAULT (UTC_TIMESTAMP(6)) COMMENT 'UTC, by the database clock; the relay''s own, leave it out';
