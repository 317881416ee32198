-- Which customers were exported or erased lately, by whom and for what reason? (The 100 newest; an erasure has a row for each of its
-- transactions. Whether a row is about an address: address_sha256 = UNHEX(SHA2(LOWER('ada@example.com'), 256)).)
-- Healthy: rows that somebody asked for.
SELECT acted_at, actor, action, orders, customer, LOWER(HEX(address_sha256)) AS address_sha256, reason
FROM customer_action
ORDER BY id DESC
LIMIT 100;
