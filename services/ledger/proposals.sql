-- unresolved: topups in limbo by when they came there, behind a place, or one topup however it stands
--   and, where people settled it, on which proposal.
--   Plan it for its arguments (prepare=False): only then do the nulls go.
SELECT topups.topup_id::text, customer_id, phone, amount_minor, currency, provider, status, reason,
       provider_reference, reference,
       (extract(epoch FROM settled_at) * 1000)::bigint AS since_ms,
       (extract(epoch FROM now() - settled_at))::bigint AS age_s,
       CASE WHEN status IN ('succeeded', 'failed') THEN (
           SELECT outcomes.evidence -> 3 ->> 'proposal' FROM outcomes
           WHERE outcomes.topup_id = topups.topup_id AND outcomes.seq = topups.seq
       ) END AS settled_on
FROM topups
WHERE (%(topup_id)s::uuid IS NOT NULL OR status = 'unresolved')
  AND (%(topup_id)s::uuid IS NULL OR topups.topup_id = %(topup_id)s::uuid)
  AND (%(provider)s::text IS NULL OR provider = %(provider)s)
  AND (%(after_ms)s::bigint IS NULL
       OR (%(newest)s::boolean AND (settled_at, topups.topup_id) <
           ('epoch'::timestamptz + %(after_ms)s::bigint * interval '1 ms', %(after_id)s::uuid))
       OR (NOT %(newest)s::boolean AND (settled_at, topups.topup_id) >
           ('epoch'::timestamptz + %(after_ms)s::bigint * interval '1 ms', %(after_id)s::uuid)))
ORDER BY CASE WHEN %(newest)s::boolean THEN settled_at END DESC,
         CASE WHEN %(newest)s::boolean THEN topups.topup_id END DESC,
         settled_at, topups.topup_id
LIMIT %(limit)s;

-- limbo: money in limbo by currency and by how long it has been there.
SELECT currency,
       CASE WHEN settled_at > now() - interval '1 hour' THEN '1h'
            WHEN settled_at > now() - interval '1 day' THEN '1d'
            WHEN settled_at > now() - interval '7 days' THEN '7d'
            ELSE 'older' END AS age,
       count(*) AS transactions, sum(amount_minor)::bigint AS amount_minor
FROM topups WHERE status = 'unresolved'
GROUP BY currency, age;

-- in_limbo: the newest topups in limbo that these providers were asked for.
SELECT topup_id::text, customer_id, provider
FROM topups WHERE status = 'unresolved' AND provider = ANY(%(provider)s)
ORDER BY settled_at DESC LIMIT %(limit)s;

-- lock_topup: its row, alone, until the end of the transaction.
SELECT status FROM topups WHERE topup_id = %(topup_id)s::uuid FOR UPDATE;

-- propose: one more, unless one is open.
INSERT INTO proposals (id, topup_id, settle_as, provider, evidence, file_name, file_sha256, file,
                       asked_at, maker)
VALUES (%(id)s::uuid, %(topup_id)s::uuid, %(settle_as)s, %(provider)s, %(evidence)s, %(file_name)s,
        %(file_sha256)s, %(file)s, 'epoch'::timestamptz + %(asked_at_ms)s * interval '1 ms',
        %(maker)s)
ON CONFLICT (topup_id) WHERE state = 'proposed' DO NOTHING
RETURNING id;

-- proposals_of: those of these topups; the newest first; of one topup with their files.
SELECT id::text, topup_id::text, settle_as, provider, evidence, file_name, file_sha256,
       CASE WHEN %(with_files)s::boolean THEN file END AS file,
       (extract(epoch FROM asked_at) * 1000)::bigint AS asked_at_ms, maker,
       (extract(epoch FROM made_at) * 1000)::bigint AS made_at_ms, state, checker,
       (extract(epoch FROM ended_at) * 1000)::bigint AS ended_at_ms, ended_why
FROM proposals
WHERE topup_id = ANY(%(topup_id)s::uuid[])
ORDER BY made_at DESC, id DESC;

-- withdraw: from now on.
UPDATE proposals
SET state = 'withdrawn', checker = %(who)s, ended_at = now(), ended_why = %(why)s
WHERE id = %(id)s::uuid AND state = 'proposed'
RETURNING id;

-- overtake: close those on which their topup has not ended: its outcome names another one, or, where
--   no people settled it, none (element 3 of an evidence is what it rests on). Of these topups, or of all where none are given.
--   Plan it for its arguments (prepare=False): only then do the nulls go.
UPDATE proposals
SET state = 'overtaken', checker = 'ledger', ended_at = now(),
    ended_why = 'it has ' || topups.status || CASE
        WHEN outcomes.evidence -> 3 ->> 'proposal' IS NULL
        THEN ' by itself: a late answer of the provider'
        ELSE ': it was settled on another proposal' END
FROM topups JOIN outcomes ON outcomes.topup_id = topups.topup_id AND outcomes.seq = topups.seq
WHERE (%(topup_id)s::uuid[] IS NULL OR proposals.topup_id = ANY(%(topup_id)s::uuid[]))
  AND proposals.state = 'proposed'
  AND topups.topup_id = proposals.topup_id AND topups.status IN ('succeeded', 'failed')
  AND outcomes.evidence -> 3 ->> 'proposal' IS DISTINCT FROM proposals.id::text
RETURNING proposals.id::text, proposals.topup_id::text, ended_why AS why,
          (extract(epoch FROM ended_at) * 1000)::bigint AS at_ms;

-- confirm_proposals: those whose act has settled their topup.
UPDATE proposals
SET state = 'confirmed', checker = given.who, ended_why = NULL,
    ended_at = 'epoch'::timestamptz + given.at_ms * interval '1 ms'
FROM unnest(%(id)s::uuid[], %(who)s::text[], %(at_ms)s::bigint[]) AS given (id, who, at_ms)
WHERE proposals.id = given.id AND proposals.state <> 'confirmed';
