-- budget::spend
-- $1 minutes, $2 purposes and $3 requests, to be added to what is there.
INSERT INTO railway_spending (minute, purpose, requests)
SELECT minute, purpose, requests
FROM unnest($1::timestamptz[], $2::text[], $3::bigint[]) AS spent (minute, purpose, requests)
-- In one order, so that two who add at the same time never wait for each other.
ORDER BY minute, purpose
ON CONFLICT (minute, purpose)
DO UPDATE SET requests = railway_spending.requests + excluded.requests
