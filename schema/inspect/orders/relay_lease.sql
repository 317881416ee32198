-- Which relay drains the outbox, and does the broker take its events?
-- Healthy: one row with alive = 1 and no outage. alive = 0: no relay runs; an outage: why the broker takes nothing since
-- outage_since, as long as the relay that says so is alive; epoch growing by the minute: relays take the lease from each other.
SELECT name, holder, epoch, expires_at, expires_at > UTC_TIMESTAMP(6) AS alive,
       IF(expires_at > UTC_TIMESTAMP(6), outage, NULL)       AS outage,
       IF(expires_at > UTC_TIMESTAMP(6), outage_since, NULL) AS outage_since
FROM relay_lease;
