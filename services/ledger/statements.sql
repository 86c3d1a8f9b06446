-- What a provider's statement is compared with; the rows are copied out, in no order.

-- sold_between: a provider's topups that were accepted in a span of time.
COPY (
    SELECT topup_id, coalesce(provider_reference, ''), ltrim(phone, '+'), amount_minor, currency,
           product, status, (extract(epoch FROM accepted_at) * 1000)::bigint
    FROM topups
    WHERE provider = %(provider)s
      AND accepted_at >= 'epoch'::timestamptz + %(from_ms)s::bigint * interval '1 ms'
      AND accepted_at < 'epoch'::timestamptz + %(to_ms)s::bigint * interval '1 ms'
) TO STDOUT;

-- sold_as: those of the given topups that are this provider's, whenever they were accepted.
COPY (
    SELECT topup_id, coalesce(provider_reference, ''), ltrim(phone, '+'), amount_minor, currency,
           product, status, (extract(epoch FROM accepted_at) * 1000)::bigint
    FROM topups
    WHERE provider = %(provider)s AND topup_id = ANY(%(topup_id)s::uuid[])
) TO STDOUT;
