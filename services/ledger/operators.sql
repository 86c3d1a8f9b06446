-- audit_alone: whoever appends to the chain does it alone, until the end of the transaction.
SELECT pg_advisory_xact_lock(%(key)s);

-- audit_head: the last row's number and hash.
SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1;

-- audit_known: which of these acts are in the chain.
SELECT act_id::text FROM audit WHERE act_id = ANY(%(act_id)s::uuid[]);

-- audit_append: one row behind the last.
INSERT INTO audit (seq, act_id, at, who, act, target, why, before, after, previous, hash)
VALUES (%(seq)s, %(act_id)s::uuid, 'epoch'::timestamptz + %(at_ms)s * interval '1 ms', %(who)s,
        %(act)s, %(target)s, %(why)s, %(before)s::json, %(after)s::json, %(previous)s, %(hash)s);

-- audit_rows: all of the chain, in its order.
SELECT seq, act_id::text AS id, (extract(epoch FROM at) * 1000)::bigint AS at_ms, who, act, target,
       why, before::text, after::text, previous, hash
FROM audit ORDER BY seq;

-- audit_since: the chain from the first act of a target on.
SELECT seq, act_id::text AS id, (extract(epoch FROM at) * 1000)::bigint AS at_ms, who, act, target,
       why, before::text, after::text, previous, hash
FROM audit WHERE seq >= (SELECT min(seq) FROM audit WHERE target = %(target)s)
ORDER BY seq LIMIT %(limit)s;

-- audit_of: how many acts there are of a target.
SELECT count(*) AS acts FROM audit WHERE target = %(target)s;

-- audit_page: the newest acts before a place; a filter that is null does not count.
SELECT seq, act_id::text AS id, (extract(epoch FROM at) * 1000)::bigint AS at_ms, who, act, target,
       why, before, after, encode(hash, 'hex') AS hash
FROM audit
WHERE seq < %(before)s
  AND (%(who)s::text IS NULL OR who = %(who)s)
  AND (%(act)s::text IS NULL OR act = %(act)s)
  AND (%(target)s::text IS NULL OR target = %(target)s)
ORDER BY seq DESC LIMIT %(limit)s;

-- operator_keys: all keys of operators that work, as gateways should know them.
SELECT sha256, name FROM operators WHERE revoked_at IS NULL;

-- operators: all of them, by name and age; the revoked ones too.
SELECT sha256, prefix, name, created_at, revoked_at FROM operators
WHERE %(with_revoked)s OR revoked_at IS NULL
ORDER BY name, created_at;

-- insert_operator: a person with a key, unless one of this name is at work.
INSERT INTO operators (sha256, prefix, name) VALUES (%(sha256)s, %(prefix)s, %(name)s)
ON CONFLICT (name) WHERE revoked_at IS NULL DO NOTHING
RETURNING sha256;

-- revoke_operator: from now on.
UPDATE operators SET revoked_at = now() WHERE name = %(name)s AND revoked_at IS NULL
RETURNING sha256;

-- last_of_operator: the key that a person had last.
SELECT sha256, revoked_at IS NULL AS at_work FROM operators
WHERE name = %(name)s ORDER BY created_at DESC LIMIT 1;

-- now_ms: the database's clock, to the millisecond.
SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now_ms;
