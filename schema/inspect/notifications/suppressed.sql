-- Who added addresses to those that get no email, or removed some, and why? (The 100 newest actions. Which addresses: notify-svc
-- suppression list --show-personal-data, by an operator and on record.)
-- Healthy: bounces, now and then a complaint. Many bounces in an hour: the mail server refuses addresses that exist.
SELECT acted_at, action, cause, actor, REGEXP_REPLACE(reason, '[^ <>(),;:"]+@', '***@') AS reason
FROM suppression_action
ORDER BY id DESC
LIMIT 100;
