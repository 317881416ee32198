-- The outbox: one row is one event, written in the transaction that makes it true. Any program may write it;
-- docs/outbox-contract.md says which columns, and with which contents. Everything from `state` on is the relay's own: writers
-- leave those columns out.
--
-- Names are a character longer than they may be: a session without strict mode cuts what is too long, without a word, and what is cut
-- to one character too many is refused by the CHECK. Cut to what is allowed, two aggregates would become one.
-- aggregate_id: the CHECK refuses at once what a comparison would hide. A padding collation takes 'a' and 'a ' for one key.
-- aggregate_type: 'order ' and 'order' are two keys; MySQL and MariaDB name such a collation differently.
-- published_at and stream_seq have a value from the beginning, because a NULL takes no room: each settle would make its row
-- longer and split the pages that the writers had just filled, at two fifths of its cost.
-- inserted_at: ages and latencies are told from here, because occurred_at is whatever the writer says.
CREATE TABLE outbox (
    seq               BIGINT UNSIGNED NOT NULL AUTO_INCREMENT COMMENT 'insertion order; neither commit order nor an identity',
    event_id          BINARY(16)      NOT NULL DEFAULT (UNHEX(REPLACE(UUID(), '-', ''))) COMMENT 'the identity of the event and its Nats-Msg-Id',
    aggregate_type    VARCHAR(65) CHARACTER SET utf8mb4 COLLATE /*!80017 utf8mb4_0900_bin */ /*M! utf8mb4_nopad_bin */ NOT NULL COMMENT 'for example order; no white space at its ends',
    aggregate_id      VARCHAR(65) CHARACTER SET ascii COLLATE ascii_bin NOT NULL COMMENT 'a number or text; a UUID in lower case with hyphens',
    aggregate_version INT UNSIGNED    NULL COMMENT 'consecutive from 1 within the aggregate; NULL for a writer that keeps none',
    event_type        VARCHAR(101)    NOT NULL COMMENT 'for example order.created',
    subject           VARCHAR(256)    NOT NULL COMMENT 'NATS subject; must be one that the stream takes',
    payload           JSON            NOT NULL COMMENT 'a JSON object; becomes the body of the message. MySQL keeps values and not the text: numbers beyond 64 bits are rounded, of a key that occurs twice the last value stays, and a binary string becomes base64:type...',
    headers           JSON            NULL COMMENT 'an object of strings added to the message, for example traceparent',
    occurred_at       DATETIME(6)     NOT NULL DEFAULT (UTC_TIMESTAMP(6)) COMMENT 'UTC',

    state             ENUM ('pending', 'published', 'held', 'dead') NOT NULL DEFAULT 'pending',
    attempts          INT UNSIGNED    NOT NULL DEFAULT 0 COMMENT 'failed publishes that were this event''s own fault; an outage spends none',
    next_attempt_at   DATETIME(6)     NULL COMMENT 'UTC; not claimed before',
    last_error        VARCHAR(1000)   NULL,
    published_at      DATETIME(6)     NOT NULL DEFAULT '1970-01-01' COMMENT 'UTC; when the PubAck was settled, 1970 before that',
    stream_seq        BIGINT UNSIGNED NOT NULL DEFAULT 0 COMMENT 'sequence in the stream, from the PubAck; 0 before that',
    heal_epoch        INT UNSIGNED    NOT NULL DEFAULT 0 COMMENT 'how often the broker lost this event after acknowledging it',
    discarded_at      DATETIME(6)     NULL COMMENT 'UTC; set: the row is published as a tombstone',
    inserted_at       DATETIME(6)     NOT NULL DEFAULT (UTC_TIMESTAMP(6)) COMMENT 'UTC, by the database clock',

    PRIMARY KEY (seq),
    UNIQUE KEY event_id (event_id),
    -- one aggregate's story, and the check that no earlier event of an aggregate stands in the way
    UNIQUE KEY aggregate (aggregate_type, aggregate_id, aggregate_version),
    -- the claim: WHERE state = 'pending' ORDER BY seq; also the counts by state
    KEY claim (state, seq),
    -- which events wait for another attempt; NULL for nearly all rows, so a settle does not touch this index
    KEY waiting (next_attempt_at),
    CONSTRAINT outbox_aggregate_id_is_1_to_64_visible_ascii
        CHECK (aggregate_id <> '' AND CHAR_LENGTH(aggregate_id) <= 64 AND aggregate_id NOT REGEXP '[^!-~]'),
    CONSTRAINT outbox_aggregate_type_is_at_most_64_characters CHECK (CHAR_LENGTH(aggregate_type) <= 64),
    CONSTRAINT outbox_event_type_is_at_most_100_characters CHECK (CHAR_LENGTH(event_type) <= 100),
    CONSTRAINT outbox_subject_is_at_most_255_characters CHECK (CHAR_LENGTH(subject) <= 255)
) ENGINE = InnoDB
  DEFAULT CHARACTER SET = utf8mb4
  COLLATE = utf8mb4_bin;

-- The outbox with its event ids as text, for people. BIN_TO_UUID would be shorter, but MariaDB has none.
CREATE SQL SECURITY INVOKER VIEW outbox_text AS
SELECT seq,
       LOWER(CONCAT_WS('-', HEX(SUBSTR(event_id, 1, 4)), HEX(SUBSTR(event_id, 5, 2)), HEX(SUBSTR(event_id, 7, 2)), HEX(SUBSTR(event_id, 9, 2)), HEX(SUBSTR(event_id, 11, 6)))) AS event_id,
       aggregate_type, aggregate_id, aggregate_version, event_type, subject, payload, headers, occurred_at,
       state, attempts, next_attempt_at, last_error,
       NULLIF(published_at, '1970-01-01') AS published_at,
       NULLIF(stream_seq, 0) AS stream_seq,
       heal_epoch, discarded_at, inserted_at
FROM outbox;
