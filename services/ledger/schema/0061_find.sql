-- no transaction
-- An operator has a reference in hand, the merchant's or the provider's, and no customer. Both are
-- only ever compared for equality; a phone is looked for customer by customer, by `topups_by_phone`.

CREATE INDEX CONCURRENTLY IF NOT EXISTS topups_by_reference
    ON topups USING hash (reference) WHERE reference IS NOT NULL;

CREATE INDEX CONCURRENTLY IF NOT EXISTS topups_by_provider_reference
    ON topups USING hash (provider_reference) WHERE provider_reference IS NOT NULL;
