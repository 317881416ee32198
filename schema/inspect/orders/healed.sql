-- Which of the newest 10,000 events, by the key, did the broker lose after it had acknowledged them, and where are they now?
-- Healthy: no rows. After a loss: all of them published, within minutes; without a stream_seq: the stream that had it is gone, and
-- would have let it go by its age. For all events leave out the LIMIT; that reads the table.
SELECT seq, event_type, heal_epoch, state, occurred_at,
       NULLIF(published_at, '1970-01-01') AS published_at, NULLIF(stream_seq, 0) AS stream_seq, last_error
FROM (SELECT seq, event_type, heal_epoch, state, occurred_at, published_at, stream_seq, last_error
      FROM outbox
      ORDER BY seq DESC
      LIMIT 10000) AS newest
WHERE heal_epoch > 0
ORDER BY seq DESC;
