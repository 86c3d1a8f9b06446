-- no transaction
-- One index for each filter of a customer's list, newest first; the id makes a stable cursor.
-- Built beside running ledgers, so each statement commits by itself and may be run again.

CREATE INDEX CONCURRENTLY IF NOT EXISTS topups_by_time
    ON topups (customer_id, accepted_at DESC, topup_id DESC);

CREATE INDEX CONCURRENTLY IF NOT EXISTS topups_by_status
    ON topups (customer_id, status, accepted_at DESC, topup_id DESC);

CREATE INDEX CONCURRENTLY IF NOT EXISTS topups_by_phone
    ON topups (customer_id, phone, accepted_at DESC, topup_id DESC);

CREATE INDEX CONCURRENTLY IF NOT EXISTS topups_by_provider
    ON topups (customer_id, provider, accepted_at DESC, topup_id DESC);
