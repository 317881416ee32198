-- What the relay keeps beside the outbox that it drains.

-- Which relay drains the outbox. One row. `holder` is new for each tenure, and it is what every statement of a relay compares:
-- `epoch` may come back after a failover to a replica that lagged, or after a restore, and two relays would be active. No relay
-- believes the database clock: one takes the lease when the row has not changed for a lease time by its own clock.
CREATE TABLE relay_lease (
    name         VARCHAR(64)     NOT NULL,
    holder       VARCHAR(100)    NULL COMMENT 'one tenure of one relay, never the same again: the token that every statement compares. NULL when released',
    epoch        BIGINT UNSIGNED NOT NULL COMMENT 'grows by one with every change of holder; for people, it may come back after a failover',
    expires_at   DATETIME(6)     NOT NULL COMMENT 'UTC, by the database clock, for people; it changes with each renewal, which is what other relays watch',
    outage       VARCHAR(1000)   NULL COMMENT 'why the broker takes no events from the holder. NULL: it takes them',
    outage_since DATETIME(6)     NULL COMMENT 'UTC, by the database clock. NULL: it takes them',
    PRIMARY KEY (name)
) ENGINE = InnoDB
  DEFAULT CHARACTER SET = utf8mb4
  COLLATE = utf8mb4_bin;

INSERT INTO relay_lease (name, holder, epoch, expires_at)
VALUES ('outbox', NULL, 0, UTC_TIMESTAMP(6));

-- What the relay remembers of the stream that it publishes to, so that it notices when the broker lost what it acknowledged,
-- and up to where the stream is proven: still there after the broker's fsync horizon. A published event is proven if its
-- stream_seq is at most proven_seq; only proven events are purged. One row for each lease, written by its holder only.
--
-- A relay whose settings name another stream is refused until a person has the old one forgotten (outbox-relay stream forget).
-- A limit of the stream that drops messages before its consumers had them is a loss that can't be healed while the limit stands:
-- the event would be dropped again. So it is told here, nothing more is proven, and it is healed when the limit is changed.
CREATE TABLE relay_stream (
    name             VARCHAR(64)     NOT NULL COMMENT 'of the lease',
    stream           VARCHAR(255)    NULL COMMENT 'the name of the stream. NULL: no relay has checked it yet, or it was forgotten',
    created_at       DATETIME(6)     NULL COMMENT 'UTC; when the broker made the stream: another time is another stream. NULL: no relay has checked it yet',
    server           VARCHAR(200)    NOT NULL DEFAULT '' COMMENT 'which server answered for the stream, and which run of it',
    first_seq        BIGINT UNSIGNED NOT NULL DEFAULT 0 COMMENT 'of the stream, at the last check',
    last_seq         BIGINT UNSIGNED NOT NULL DEFAULT 0 COMMENT 'of the stream, at the last check',
    last_stored_at   DATETIME(6)     NULL COMMENT 'UTC; when the message of last_seq was stored, by the broker''s clock',
    deleted          BIGINT UNSIGNED NOT NULL DEFAULT 0 COMMENT 'messages missing between first_seq and last_seq, at the last check',
    limits           VARCHAR(300)    NOT NULL DEFAULT '' COMMENT 'what the stream drops by itself, at the last check; empty: nothing',
    unread_dropped   BIGINT UNSIGNED NOT NULL DEFAULT 0 COMMENT 'about how many messages its limits dropped before every durable consumer had them. Above 0 nothing more is proven until the limits are changed',
    checked_at       DATETIME(6)     NULL COMMENT 'UTC, by the database clock; the time of the last check',
    proven_seq       BIGINT UNSIGNED NOT NULL DEFAULT 0 COMMENT 'the stream is proven up to this sequence; back to 0 when that turns out to be in doubt',
    proven_stored_at DATETIME(6)     NULL COMMENT 'UTC; when its message was stored, by the broker''s clock',
    proven_at        DATETIME(6)     NULL COMMENT 'UTC, by the database clock; what the stream held then is proven, or was until a loss. Before the first proof, when a relay first checked. NULL: none has',
    history_seq      BIGINT UNSIGNED NULL COMMENT 'of the outbox: what was published up to here is still to be compared with the stream. NULL: nothing is',
    suspicion        VARCHAR(30)     NULL COMMENT 'the sign of a loss that is being examined; NULL: none',
    lost_at          DATETIME(6)     NULL COMMENT 'UTC; when a loss was last found',
    lost_sign        VARCHAR(30)     NULL COMMENT 'the sign that it was found by',
    healed           BIGINT UNSIGNED NOT NULL DEFAULT 0 COMMENT 'how many events were made pending again, in all',
    PRIMARY KEY (name)
) ENGINE = InnoDB
  DEFAULT CHARACTER SET = utf8mb4
  COLLATE = utf8mb4_bin;

INSERT INTO relay_stream (name) VALUES ('outbox');
