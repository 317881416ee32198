-- A limit of the stream that drops messages before its consumers had them is a loss that can't be healed while the limit stands:
-- the event would be dropped again. So it is told here, nothing more is proven, and it is healed when the limit is changed.
ALTER TABLE relay_stream
    ADD COLUMN limits         VARCHAR(300)    NOT NULL DEFAULT '' COMMENT 'what the stream drops by itself, at the last look; empty: nothing',
    ADD COLUMN unread_dropped BIGINT UNSIGNED NOT NULL DEFAULT 0 COMMENT 'about how many messages its limits dropped before every durable consumer had them. Above 0 nothing more is proven until the limits are changed',
    ALGORITHM = INSTANT;
