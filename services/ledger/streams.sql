-- generations: the generation of each partition that was ever vouched for.
SELECT partition, generation FROM generations ORDER BY partition;

-- positions: how far each stream is booked.
SELECT stream, entry_ms::text || '-' || entry_seq::text FROM positions ORDER BY stream;

-- note_generation: the first generation of a partition; another ledger may have noted it before.
INSERT INTO generations (partition, generation) VALUES (%(partition)s, %(generation)s)
ON CONFLICT DO NOTHING;

-- renew_generation: the partition was reconciled; from now on this one is its generation.
INSERT INTO generations (partition, generation) VALUES (%(partition)s, %(generation)s)
ON CONFLICT (partition) DO UPDATE SET generation = excluded.generation, since = now();

-- forget_partitions: there are only so many from now on.
DELETE FROM generations WHERE partition >= %(partitions)s;

-- still_needed: what the streams must know: all that is open or in limbo, and what ended since.
SELECT topup_id::text, customer_id, phone, country, amount_minor, currency, provider, product,
       reference, metadata::text, route::text,
       (extract(epoch FROM accepted_at) * 1000)::bigint AS accepted_at_ms,
       status, coalesce(reason, '') AS reason, coalesce(provider_reference, '') AS its_reference,
       coalesce((extract(epoch FROM settled_at) * 1000)::bigint, 0) AS settled_at_ms, seq
FROM topups
WHERE seq = 0 OR status = 'unresolved'
   OR settled_at > 'epoch'::timestamptz + %(since_ms)s::bigint * interval '1 ms';
