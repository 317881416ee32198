-- How many charges and refunds are in which state, and how long has the oldest of each waited?
-- (Of 10,000 of each: the oldest that are pending, the newest that are dead or done.)
-- Healthy: pending few and young, put off and retry none or few, dead none. put off: the provider is away or throttles us, and no
-- attempt is spent. unknown: an attempt began whose outcome nobody knows yet. dead: a person decides (payment-svc effect requeue
-- or discard).
SELECT kind,
       CASE WHEN state = 'pending' AND claimed_by IS NOT NULL THEN 'under way'
            WHEN state = 'pending' AND is_unknown THEN 'unknown'
            WHEN state = 'pending' AND put_off > 0 THEN 'put off'
            WHEN state = 'pending' AND attempts > 0 THEN 'retry'
            ELSE state END AS state_now,
       COUNT(*) AS effects, MIN(created_at) AS oldest_at, MAX(attempts) AS attempts_max, MAX(put_off) AS put_off_max,
       MIN(next_attempt_at) AS next_attempt_at
FROM ((SELECT kind, state, created_at, attempts, put_off, is_unknown, claimed_by, next_attempt_at
       FROM effect FORCE INDEX (state_id) WHERE state = 'pending' ORDER BY id LIMIT 10000)
      UNION ALL
      (SELECT kind, state, created_at, attempts, put_off, is_unknown, claimed_by, NULL
       FROM effect FORCE INDEX (state_id) WHERE state = 'dead' ORDER BY id DESC LIMIT 10000)
      UNION ALL
      (SELECT kind, state, created_at, attempts, put_off, is_unknown, claimed_by, NULL
       FROM effect FORCE INDEX (state_id) WHERE state = 'done' ORDER BY id DESC LIMIT 10000)
     ) AS some_of_each
GROUP BY kind, state_now;
