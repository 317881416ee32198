-- How many emails are in which state, and how long has the oldest of each waited?
-- Healthy: pending few and young, dead none.
SELECT state, COUNT(*) AS emails, MIN(created_at) AS oldest_at, MAX(attempts) AS attempts_max
FROM notifications
GROUP BY state;
