-- keys: all keys that work, as gateways should know them.
SELECT sha256, customer_id, merchant, scopes, limit_per_minute,
       (extract(epoch FROM expires_at) * 1000)::bigint AS expires_at_ms
FROM api_keys JOIN customers USING (customer_id)
WHERE revoked_at IS NULL AND NOT disabled AND (expires_at IS NULL OR expires_at > now());

-- keys_to_tell: a customer's keys that have not ended, and some that have, as gateways should
-- know them.
SELECT sha256, customer_id, merchant, scopes, limit_per_minute,
       (extract(epoch FROM expires_at) * 1000)::bigint AS expires_at_ms,
       revoked_at IS NULL AND NOT disabled AND (expires_at IS NULL OR expires_at > now())
           AS active
FROM api_keys JOIN customers USING (customer_id)
WHERE customer_id = %(customer_id)s
  AND (sha256 = ANY(%(ended)s)
       OR (revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())));

-- lock_customer: whoever changes a customer or its keys, or tells of them, does it alone.
SELECT customer_id FROM customers WHERE customer_id = %(customer_id)s FOR NO KEY UPDATE;

-- insert_customer: a customer, once.
INSERT INTO customers (customer_id, merchant, limit_per_minute)
VALUES (%(customer_id)s, %(merchant)s, %(limit_per_minute)s)
ON CONFLICT (customer_id) DO NOTHING
RETURNING customer_id;

-- customer_row: what operators decide of a customer.
SELECT merchant, limit_per_minute, disabled FROM customers WHERE customer_id = %(customer_id)s;

-- set_limit: null is the default of the gateways.
UPDATE customers SET limit_per_minute = %(limit_per_minute)s WHERE customer_id = %(customer_id)s;

-- set_disabled: whether the customer's keys work at all.
UPDATE customers SET disabled = %(disabled)s WHERE customer_id = %(customer_id)s;

-- customers: all of them or one, with what their keys tell.
SELECT customer_id, merchant, limit_per_minute, disabled, customers.created_at,
       count(sha256) FILTER (WHERE revoked_at IS NULL
                             AND (expires_at IS NULL OR expires_at > now())) AS working_keys,
       max(last_used_at) AS last_used_at
FROM customers LEFT JOIN api_keys USING (customer_id)
WHERE %(customer_id)s::text IS NULL OR customer_id = %(customer_id)s
GROUP BY customer_id
ORDER BY customer_id;

-- insert_key: a key of a customer, once.
INSERT INTO api_keys (sha256, prefix, customer_id, scopes, label)
VALUES (%(sha256)s, %(prefix)s, %(customer_id)s, %(scopes)s, %(label)s)
ON CONFLICT (sha256) DO NOTHING
RETURNING sha256;

-- key_owner: whose a key is.
SELECT customer_id FROM api_keys WHERE sha256 = %(sha256)s;

-- listed_keys: keys by customer and age: of one customer or of all, one key, the ended ones too.
SELECT sha256, prefix, customer_id, label, scopes, api_keys.created_at, expires_at, revoked_at,
       last_used_at, disabled AS customer_disabled,
       revoked_at IS NOT NULL OR coalesce(expires_at <= now(), false) AS ended
FROM api_keys JOIN customers USING (customer_id)
WHERE (%(customer_id)s::text IS NULL OR customer_id = %(customer_id)s)
  AND starts_with(sha256, %(key_id)s)
  AND (%(with_ended)s OR (revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())))
ORDER BY customer_id, api_keys.created_at, sha256;

-- revoke_key: from now on, if not before.
UPDATE api_keys SET revoked_at = now() WHERE sha256 = %(sha256)s AND revoked_at IS NULL;

-- end_key_later: a key that nobody has ended ends by itself.
UPDATE api_keys SET expires_at = now() + %(grace_ms)s::bigint * interval '1 ms'
WHERE sha256 = %(sha256)s;

-- note_uses: the latest use of each key, to the minute; the rows in one order for all.
WITH given AS (
    SELECT sha256, least('epoch'::timestamptz + at_ms * interval '1 ms', now()) AS used_at
    FROM unnest(%(sha256)s::text[], %(at_ms)s::bigint[]) AS given (sha256, at_ms)
), news AS (
    SELECT sha256, used_at FROM api_keys JOIN given USING (sha256)
    WHERE last_used_at IS NULL OR last_used_at < used_at - interval '1 minute'
    ORDER BY sha256 FOR NO KEY UPDATE OF api_keys
)
UPDATE api_keys SET last_used_at = used_at
FROM news
WHERE api_keys.sha256 = news.sha256
  AND (last_used_at IS NULL OR last_used_at < used_at)
RETURNING api_keys.sha256;
