-- Which stream the outbox is published to: a relay whose settings name another one is refused, until a person has the old one
-- forgotten (outbox-relay forget-stream), which is recorded like every deed.
ALTER TABLE relay_stream
    ADD COLUMN stream VARCHAR(255) NULL COMMENT 'the name of the stream. NULL: no relay has looked yet, or it was forgotten',
    ALGORITHM = INSTANT;

ALTER TABLE outbox_action
    MODIFY action ENUM ('requeue', 'discard', 'replay', 'pause', 'resume', 'purge', 'forget-stream') NOT NULL,
    ALGORITHM = INSTANT;
