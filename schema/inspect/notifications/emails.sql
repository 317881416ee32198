-- How many emails are in which state, and how long has the oldest of each waited?
-- (Of 10,000 of each: the oldest that are pending, the newest that are dead, discarded, suppressed or sent.)
-- Healthy: pending few and young, put off and retry none or few, dead none. put off: the mail server fails, and no attempt is
-- spent. retry: attempts were spent. dead: a person decides (notify-svc email requeue or discard). discarded: somebody gave it up.
-- suppressed: the address gets nothing, see suppressed.sql.
SELECT CASE WHEN state = 'pending' AND put_off > 0 THEN 'put off'
            WHEN state = 'pending' AND attempts > 0 THEN 'retry'
            WHEN state = 'done' THEN 'sent'
            WHEN state = 'withdrawn' THEN 'suppressed'
            ELSE state END AS state_now,
       COUNT(*) AS emails, SUM(state = 'pending' AND claimed_by IS NOT NULL) AS under_way, MIN(created_at) AS oldest_at,
       MAX(attempts) AS attempts_max, MAX(put_off) AS put_off_max, MIN(next_attempt_at) AS next_attempt_at
FROM ((SELECT state, created_at, attempts, put_off, claimed_by, next_attempt_at
       FROM effect FORCE INDEX (state_id) WHERE state = 'pending' ORDER BY id LIMIT 10000)
      UNION ALL
      (SELECT state, created_at, attempts, put_off, claimed_by, NULL
       FROM effect FORCE INDEX (state_id) WHERE state = 'dead' ORDER BY id DESC LIMIT 10000)
      UNION ALL
      (SELECT state, created_at, attempts, put_off, claimed_by, NULL
       FROM effect FORCE INDEX (state_id) WHERE state = 'discarded' ORDER BY id DESC LIMIT 10000)
      UNION ALL
      (SELECT state, created_at, attempts, put_off, claimed_by, NULL
       FROM effect FORCE INDEX (state_id) WHERE state = 'withdrawn' ORDER BY id DESC LIMIT 10000)
      UNION ALL
      (SELECT state, created_at, attempts, put_off, claimed_by, NULL
       FROM effect FORCE INDEX (state_id) WHERE state = 'done' ORDER BY id DESC LIMIT 10000)
     ) AS some_of_each
GROUP BY state_now;
