-- The ledger's statements, each under its name. `%(…)b` sends an array in binary: as text every
-- element would be escaped by itself, which took a third of the time of booking.

-- queue_behind: many book at once, but one whose batch resolves something books alone, since two
--   outcomes of one topup in two transactions could lock its row in either order.
SELECT CASE WHEN %(alone)s THEN pg_advisory_xact_lock(%(key)s)
            ELSE pg_advisory_xact_lock_shared(%(key)s) END;

-- insert_topups: each topup once, with what its acceptance posts; returns the ids that are new.
WITH new AS (
    INSERT INTO topups (topup_id, customer_id, phone, country, amount_minor, currency, provider,
                        product, reference, metadata, accepted_at, digest, status, reason,
                        provider_reference, settled_at, seq, route)
    SELECT topup_id, customer_id, phone, country, amount_minor, currency, provider, product,
           reference, metadata, 'epoch'::timestamptz + accepted_at_ms * interval '1 ms', digest,
           status, reason, provider_reference,
           'epoch'::timestamptz + settled_at_ms * interval '1 ms', seq, route
    FROM unnest(%(topup_id)b::uuid[], %(customer_id)b::text[], %(phone)b::text[],
                %(country)b::text[], %(amount_minor)b::bigint[], %(currency)b::text[],
                %(provider)b::text[], %(product)b::text[], %(reference)b::text[],
                %(metadata)b::json[], %(accepted_at_ms)b::bigint[], %(digest)b::bytea[],
                %(status)b::text[], %(reason)b::text[], %(provider_reference)b::text[],
                %(settled_at_ms)b::bigint[], %(seq)b::smallint[], %(route)b::json[])
        AS given (topup_id, customer_id, phone, country, amount_minor, currency, provider, product,
                  reference, metadata, accepted_at_ms, digest, status, reason, provider_reference,
                  settled_at_ms, seq, route)
    ORDER BY topup_id
    ON CONFLICT (topup_id) DO NOTHING
    RETURNING topup_id, currency, amount_minor
), posted AS (
    INSERT INTO postings (topup_id, seq, line, debit, credit, currency, amount_minor)
    SELECT topup_id, 0, line, debit, credit, currency, amount_minor
    FROM new CROSS JOIN unnest(%(line)b::smallint[], %(debit)b::text[], %(credit)b::text[])
        AS move (line, debit, credit)
)
SELECT topup_id::text FROM new;

-- request_digests: the requests that are booked for these ids.
SELECT topup_id::text, digest FROM topups WHERE topup_id = ANY(%(topup_id)b::uuid[]);

-- insert_outcomes: each outcome once, with what it posts; returns those that are new.
WITH given AS (
    SELECT *
    FROM unnest(%(topup_id)b::uuid[], %(seq)b::smallint[], %(state)b::text[], %(reason)b::text[],
                %(provider_reference)b::text[], %(evidence)b::json[], %(settled_at_ms)b::bigint[],
                %(entry)b::text[], %(digest)b::bytea[], %(currency)b::text[],
                %(amount_minor)b::bigint[], %(tried)b::text[], %(provider)b::text[])
        AS outcome (topup_id, seq, state, reason, provider_reference, evidence, settled_at_ms,
                    entry, digest, currency, amount_minor, tried, provider)
), new AS (
    INSERT INTO outcomes (topup_id, seq, state, reason, provider_reference, evidence, settled_at,
                          entry, digest, tried, provider)
    SELECT topup_id, seq, state, reason, provider_reference, evidence,
           'epoch'::timestamptz + settled_at_ms * interval '1 ms', entry, digest, tried,
           provider
    FROM given
    ORDER BY topup_id, seq
    ON CONFLICT (topup_id, seq) DO NOTHING
    RETURNING topup_id, seq
), posted AS (
    INSERT INTO postings (topup_id, seq, line, debit, credit, currency, amount_minor)
    SELECT topup_id, seq, line, debit, credit, currency, amount_minor
    FROM new
    JOIN given USING (topup_id, seq)
    JOIN unnest(%(move_seq)b::smallint[], %(move_state)b::text[], %(line)b::smallint[],
                %(debit)b::text[], %(credit)b::text[])
        AS move (seq, state, line, debit, credit) USING (seq, state)
)
SELECT topup_id::text, seq FROM new;

-- outcome_digests: the outcomes that are booked for these topups.
SELECT topup_id::text, seq, digest FROM outcomes WHERE topup_id = ANY(%(topup_id)b::uuid[]);

-- update_topups: the topup's row takes the outcome with the highest seq.
UPDATE topups
SET status = given.state, reason = given.reason, seq = given.seq,
    provider = coalesce(given.provider, topups.provider), provider_reference = given.provider_reference,
    settled_at = 'epoch'::timestamptz + given.settled_at_ms * interval '1 ms'
FROM unnest(%(topup_id)b::uuid[], %(seq)b::smallint[], %(state)b::text[], %(reason)b::text[],
            %(provider_reference)b::text[], %(settled_at_ms)b::bigint[], %(provider)b::text[])
    AS given (topup_id, seq, state, reason, provider_reference, settled_at_ms, provider)
WHERE topups.topup_id = given.topup_id AND topups.seq < given.seq;

-- set_aside: what contradicts the books is kept for people, once.
INSERT INTO set_aside (topup_id, seq, digest, content)
SELECT * FROM unnest(%(topup_id)b::uuid[], %(seq)b::smallint[], %(digest)b::bytea[],
                     %(content)b::json[])
ON CONFLICT DO NOTHING
RETURNING seq;

-- add_totals: what this transaction has booked is added; and how far each stream is booked by it.
--   The last statement of a batch: these few rows are locked for no longer than its commit takes,
--   and in one order for all.
WITH reached AS (
    INSERT INTO positions (stream, entry_ms, entry_seq)
    SELECT stream, entry_ms, entry_seq
    FROM unnest(%(stream)s::text[], %(entry_ms)s::bigint[], %(entry_seq)s::bigint[])
        AS given (stream, entry_ms, entry_seq)
    ORDER BY stream
    ON CONFLICT (stream) DO UPDATE
    SET entry_ms = excluded.entry_ms, entry_seq = excluded.entry_seq
    WHERE (positions.entry_ms, positions.entry_seq) < (excluded.entry_ms, excluded.entry_seq)
)
INSERT INTO totals (quarter, kind, currency, transactions, amount_minor)
SELECT 'epoch'::timestamptz + quarter_ms * interval '1 ms' AS quarter, kind, currency,
       transactions, amount_minor
FROM unnest(%(quarter_ms)s::bigint[], %(kind)s::text[], %(currency)s::text[],
            %(transactions)s::bigint[], %(amount_minor)s::numeric[])
    AS given (quarter_ms, kind, currency, transactions, amount_minor)
ORDER BY quarter, kind, currency
ON CONFLICT (quarter, kind, currency) DO UPDATE
SET transactions = totals.transactions + excluded.transactions,
    amount_minor = totals.amount_minor + excluded.amount_minor;

-- unknown_requests: places, from 1 on, of requests that are not booked just as they are given.
SELECT place::integer
FROM unnest(%(topup_id)b::uuid[], %(digest)b::bytea[]) WITH ORDINALITY
    AS given (topup_id, digest, place)
LEFT JOIN topups USING (topup_id)
WHERE topups.digest IS DISTINCT FROM given.digest
ORDER BY place;

-- unknown_outcomes: likewise of outcomes, with the requests that they carry.
SELECT place::integer
FROM unnest(%(topup_id)b::uuid[], %(seq)b::smallint[], %(digest)b::bytea[],
            %(request_digest)b::bytea[]) WITH ORDINALITY
    AS given (topup_id, seq, digest, request_digest, place)
LEFT JOIN outcomes USING (topup_id, seq)
LEFT JOIN topups USING (topup_id)
WHERE outcomes.digest IS DISTINCT FROM given.digest
   OR topups.digest IS DISTINCT FROM given.request_digest
ORDER BY place;

-- copy_topups: into a rehearsal's copy, what the books have of these topups.
INSERT INTO pg_temp.topups SELECT * FROM public.topups WHERE topup_id = ANY(%(topup_id)s::uuid[])
ON CONFLICT DO NOTHING;

-- copy_outcomes: likewise their outcomes.
INSERT INTO pg_temp.outcomes
SELECT * FROM public.outcomes WHERE topup_id = ANY(%(topup_id)s::uuid[])
ON CONFLICT DO NOTHING;

-- copy_set_aside: likewise what was set aside of them.
INSERT INTO pg_temp.set_aside
SELECT * FROM public.set_aside WHERE topup_id = ANY(%(topup_id)s::uuid[])
ON CONFLICT DO NOTHING;

-- topup: one topup of one customer.
SELECT topup_id::text, customer_id, phone, country, amount_minor, currency, provider,
       coalesce(route ->> provider, product) AS product, status, reason, provider_reference, reference, metadata,
       (extract(epoch FROM accepted_at) * 1000)::bigint AS accepted_at_ms,
       (extract(epoch FROM settled_at) * 1000)::bigint AS settled_at_ms
FROM topups
WHERE topup_id = %(topup_id)s::uuid AND customer_id = %(customer_id)s;

-- topups: a page of a customer's topups, newest first; a filter that is null does not count.
--   Plan it for its arguments (prepare=False): only then do the nulls go, and an index fits.
SELECT topup_id::text, customer_id, phone, country, amount_minor, currency, provider,
       coalesce(route ->> provider, product) AS product, status, reason, provider_reference, reference, metadata,
       (extract(epoch FROM accepted_at) * 1000)::bigint AS accepted_at_ms,
       (extract(epoch FROM settled_at) * 1000)::bigint AS settled_at_ms
FROM topups
WHERE customer_id = %(customer_id)s
  AND (%(status)s::text IS NULL OR status = %(status)s)
  AND (%(provider)s::text IS NULL OR provider = %(provider)s)
  AND (%(phone)s::text IS NULL OR phone = %(phone)s)
  AND (%(from_ms)s::bigint IS NULL
       OR accepted_at >= 'epoch'::timestamptz + %(from_ms)s::bigint * interval '1 ms')
  AND (%(to_ms)s::bigint IS NULL
       OR accepted_at < 'epoch'::timestamptz + %(to_ms)s::bigint * interval '1 ms')
  AND (%(after_ms)s::bigint IS NULL
       OR (accepted_at, topup_id) <
          ('epoch'::timestamptz + %(after_ms)s::bigint * interval '1 ms', %(after_id)s::uuid))
ORDER BY topups.accepted_at DESC, topups.topup_id DESC
LIMIT %(limit)s;

-- find: the newest topups of any customer by id, reference, provider's reference or phone.
--   Plan it for its arguments (prepare=False): only then do the nulls go.
WITH ids AS (
    SELECT topup_id FROM topups WHERE topup_id = %(topup_id)s::uuid
    UNION
    SELECT topup_id FROM topups WHERE reference = %(reference)s::text
    UNION
    SELECT topup_id FROM topups WHERE provider_reference = %(reference)s::text
    UNION
    SELECT newest.topup_id
    FROM customers CROSS JOIN LATERAL (
        SELECT topup_id FROM topups
        WHERE topups.customer_id = customers.customer_id AND phone = %(phone)s::text
        ORDER BY accepted_at DESC, topup_id DESC LIMIT %(limit)s
    ) AS newest
    WHERE %(phone)s::text IS NOT NULL
)
SELECT topup_id::text, customer_id, phone, country, amount_minor, currency, provider, product,
       status, reason, provider_reference, reference, metadata,
       (extract(epoch FROM accepted_at) * 1000)::bigint AS accepted_at_ms,
       (extract(epoch FROM settled_at) * 1000)::bigint AS settled_at_ms
FROM topups JOIN ids USING (topup_id)
ORDER BY topups.accepted_at DESC, topups.topup_id DESC
LIMIT %(limit)s;

-- totals: by kind and currency, of all time and since a moment.
SELECT kind, currency,
       sum(transactions) FILTER (WHERE quarter = 'epoch')::bigint AS transactions,
       sum(amount_minor) FILTER (WHERE quarter = 'epoch')::bigint AS amount_minor,
       coalesce(sum(transactions) FILTER (WHERE quarter > 'epoch'), 0)::bigint
           AS transactions_since,
       coalesce(sum(amount_minor) FILTER (WHERE quarter > 'epoch'), 0)::bigint
           AS amount_minor_since
FROM totals
WHERE quarter = 'epoch'
   OR quarter >= 'epoch'::timestamptz + %(since_ms)s::bigint * interval '1 ms'
GROUP BY kind, currency;

-- unresolved_since: since when the oldest topup in limbo is there.
SELECT (extract(epoch FROM min(settled_at)) * 1000)::bigint AS since_ms
FROM topups WHERE status = 'unresolved';

-- whole_topup: one topup, whoever's it is.
SELECT topup_id::text, customer_id, phone, country, amount_minor, currency, provider,
       coalesce(route ->> provider, product) AS product, status, reason, provider_reference, reference, metadata,
       (extract(epoch FROM accepted_at) * 1000)::bigint AS accepted_at_ms,
       (extract(epoch FROM settled_at) * 1000)::bigint AS settled_at_ms
FROM topups
WHERE topup_id = %(topup_id)s::uuid;

-- outcomes_of: what became of one topup, in order.
SELECT seq, state, reason, provider_reference, evidence, tried, entry,
       (extract(epoch FROM settled_at) * 1000)::bigint AS settled_at_ms,
       (extract(epoch FROM booked_at) * 1000)::bigint AS booked_at_ms
FROM outcomes WHERE topup_id = %(topup_id)s::uuid ORDER BY seq;

-- postings_of: what one topup has moved, in order.
SELECT seq, line, debit, credit, currency, amount_minor
FROM postings WHERE topup_id = %(topup_id)s::uuid ORDER BY seq, line;

-- acts_of: the acts of one topup, and those of its lanes in its time, with the last one before it.
WITH sale AS (
    SELECT topup_id::text AS topup_id, accepted_at, coalesce(settled_at, 'infinity') AS settled_at,
           provider, route
    FROM topups WHERE topup_id = %(topup_id)s::uuid
), lane AS (
    SELECT provider AS name FROM sale
    UNION SELECT json_object_keys(route) FROM sale WHERE route IS NOT NULL
), place AS (
    SELECT seq FROM audit JOIN sale ON target = topup_id
    UNION
    SELECT seq FROM audit JOIN lane ON target = name, sale WHERE at BETWEEN accepted_at AND settled_at
    UNION
    SELECT max(seq) FROM audit JOIN lane ON target = name, sale WHERE at < accepted_at GROUP BY target
)
SELECT seq, act_id::text AS id, (extract(epoch FROM at) * 1000)::bigint AS at_ms, who, act, target,
       why, before, after, encode(hash, 'hex') AS hash
FROM audit JOIN place USING (seq)
ORDER BY seq LIMIT %(limit)s;

-- set_aside_of: how many entries contradict what is booked of one topup.
SELECT count(*) AS entries FROM set_aside WHERE topup_id = %(topup_id)s::uuid;

-- wrong_postings: each request holds its amount, each outcome moves it as its state says.
WITH rule AS (
    SELECT * FROM unnest(%(move_seq)s::smallint[], %(move_state)s::text[], %(line)s::smallint[],
                         %(debit)s::text[], %(credit)s::text[])
        AS move (seq, state, line, debit, credit)
), due AS (
    SELECT topup_id, 0::smallint AS seq, line, debit, credit, currency, amount_minor
    FROM topups
    CROSS JOIN unnest(%(hold_line)s::smallint[], %(hold_debit)s::text[], %(hold_credit)s::text[])
        AS move (line, debit, credit)
    UNION ALL
    SELECT topup_id, outcomes.seq, line, debit, credit, currency, amount_minor
    FROM outcomes JOIN topups USING (topup_id)
    JOIN rule ON rule.seq = outcomes.seq AND rule.state = outcomes.state
)
SELECT count(*), min(coalesce(due.topup_id, booked.topup_id)::text)
FROM due FULL JOIN postings AS booked USING (topup_id, seq, line)
WHERE (due.debit, due.credit, due.currency, due.amount_minor)
      IS DISTINCT FROM (booked.debit, booked.credit, booked.currency, booked.amount_minor);

-- wrong_outcomes: each outcome has its topup and follows the one before it.
SELECT count(*), min(outcomes.topup_id::text)
FROM outcomes
LEFT JOIN topups USING (topup_id)
LEFT JOIN outcomes AS earlier
       ON earlier.topup_id = outcomes.topup_id AND earlier.seq = outcomes.seq - 1
WHERE topups.topup_id IS NULL
   OR (outcomes.seq > 1 AND earlier.state IS DISTINCT FROM 'unresolved');

-- wrong_topups: each topup is what its last outcome says.
SELECT count(*), min(topups.topup_id::text)
FROM topups
LEFT JOIN LATERAL (
    SELECT * FROM outcomes WHERE topup_id = topups.topup_id ORDER BY seq DESC LIMIT 1
) AS last ON true
WHERE (topups.status, topups.reason, topups.seq, topups.settled_at, topups.provider_reference)
      IS DISTINCT FROM (coalesce(last.state, 'queued'), last.reason, coalesce(last.seq, 0),
                        last.settled_at, last.provider_reference)
   OR (topups.route IS NULL AND last.provider IS NOT NULL)
   OR (topups.route IS NOT NULL AND topups.provider <> coalesce((
           SELECT provider FROM outcomes
           WHERE topup_id = topups.topup_id AND provider IS NOT NULL ORDER BY seq DESC LIMIT 1
       ), 'AUTO'));

-- wrong_totals: each total is what the rows add up to.
WITH counted AS (
    SELECT accepted_at AS at, 'accepted' AS kind, currency, amount_minor FROM topups
    UNION ALL
    SELECT outcomes.settled_at, state, currency, amount_minor
    FROM outcomes JOIN topups USING (topup_id)
    UNION ALL
    SELECT outcomes.settled_at, 'resolved', currency, amount_minor
    FROM outcomes JOIN topups USING (topup_id) WHERE outcomes.seq > 1
), due AS (
    SELECT date_bin('15 minutes', at, 'epoch') AS quarter, kind, currency,
           count(*) AS transactions, sum(amount_minor) AS amount_minor
    FROM counted GROUP BY 1, 2, 3
    UNION ALL
    SELECT 'epoch', kind, currency, count(*), sum(amount_minor) FROM counted GROUP BY 2, 3
)
SELECT count(*), min(quarter::text || ' ' || kind || ' ' || currency)
FROM due FULL JOIN totals USING (quarter, kind, currency)
WHERE (due.transactions, due.amount_minor)
      IS DISTINCT FROM (totals.transactions, totals.amount_minor);

-- wrong_balances: what metrics are made of is what stands on the accounts, to the cent.
WITH moves AS (
    SELECT credit AS account, currency, amount_minor FROM postings
    UNION ALL
    SELECT debit, currency, -amount_minor FROM postings
), balances AS (
    SELECT account, currency, sum(amount_minor) AS amount_minor
    FROM moves GROUP BY account, currency
), meant AS (
    SELECT * FROM (VALUES ('available', 'accepted', -1), ('available', 'failed', 1),
                          ('held', 'accepted', 1), ('held', 'succeeded', -1),
                          ('held', 'failed', -1), ('held', 'unresolved', -1),
                          ('held', 'resolved', 1), ('charged', 'succeeded', 1),
                          ('payable', 'succeeded', 1), ('cost', 'succeeded', -1),
                          ('limbo', 'unresolved', 1), ('limbo', 'resolved', -1))
        AS meaning (account, kind, sign)
), told AS (
    SELECT account, currency, sum(sign * amount_minor) AS amount_minor
    FROM totals JOIN meant USING (kind)
    WHERE quarter = 'epoch' GROUP BY account, currency
)
SELECT count(*), min(account || ' ' || currency)
FROM balances FULL JOIN told USING (account, currency)
WHERE coalesce(balances.amount_minor, 0) <> coalesce(told.amount_minor, 0);

-- requests_as_read: each topup's digest, and what it was made from.
SELECT topup_id::text, digest, (extract(epoch FROM accepted_at) * 1000)::bigint, metadata::text,
       route::text, customer_id, phone, country, amount_minor, currency, provider, product, reference
FROM topups;

-- outcomes_as_read: each outcome's digest, and what it was made from.
SELECT topup_id::text, digest, state, reason, evidence::text, tried, provider FROM outcomes;

-- digest: of all that came from the streams, whatever the order in which it was booked.
WITH rows AS (
    SELECT 'topups' AS of, topups::text AS row FROM topups
    UNION ALL
    SELECT 'outcomes', (topup_id, seq, state, reason, provider_reference, evidence::text,
                        settled_at, entry, digest, provider)::text FROM outcomes
    UNION ALL
    SELECT 'postings', postings::text FROM postings
    UNION ALL
    SELECT 'totals', totals::text FROM totals
), hashed AS (
    SELECT md5(of || row) AS hash FROM rows
)
SELECT count(*),
       coalesce(sum(('x' || left(hash, 16))::bit(64)::bigint::numeric), 0)::text,
       coalesce(sum(('x' || right(hash, 16))::bit(64)::bigint::numeric), 0)::text
FROM hashed;
