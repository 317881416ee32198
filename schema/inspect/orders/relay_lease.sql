-- Which relay drains the outbox?
-- Healthy: one row with alive = 1. alive = 0: no relay runs; epoch growing by the minute: relays take the lease from each other.
SELECT name, holder, epoch, expires_at, expires_at > UTC_TIMESTAMP(6) AS alive
FROM relay_lease;
