-- Which events wait for another attempt; NULL for nearly all rows, so a settle does not touch this index. It lets the
-- relay see at once whether anything may stand in the way of younger siblings.
CREATE INDEX waiting ON outbox (next_attempt_at);
