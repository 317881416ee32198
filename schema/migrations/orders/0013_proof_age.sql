-- The age of the proof is told from the first look on, and through losses: an alert on it has to see a proof that never came.
ALTER TABLE relay_stream
    MODIFY proven_at DATETIME(6) NULL COMMENT 'UTC, by the database clock; what the stream held then is proven, or was until a loss. Before the first proof, when a relay first looked. NULL: none has',
    ALGORITHM = INSTANT;
