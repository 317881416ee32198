-- How many emails are in which state, and how long has the oldest of each waited?
-- (Of 10,000 of each state: the oldest that are pending or dead, the newest that were sent.)
-- Healthy: pending few and young, dead none.
SELECT state, COUNT(*) AS emails, MIN(created_at) AS oldest_at, MAX(attempts) AS attempts_max
FROM ((SELECT state, created_at, attempts FROM notifications FORCE INDEX (state_id) WHERE state = 'pending' ORDER BY id LIMIT 10000)
      UNION ALL
      (SELECT state, created_at, attempts FROM notifications FORCE INDEX (state_id) WHERE state = 'dead' ORDER BY id LIMIT 10000)
      UNION ALL
      (SELECT state, created_at, attempts FROM notifications FORCE INDEX (state_id) WHERE state = 'sent' ORDER BY id DESC LIMIT 10000)
     ) AS some_of_each
GROUP BY state;
