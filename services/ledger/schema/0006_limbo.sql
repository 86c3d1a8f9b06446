-- no transaction
-- Few rows ever are in limbo; what has been there for longest must be found at once.

CREATE INDEX CONCURRENTLY IF NOT EXISTS topups_in_limbo
    ON topups (settled_at) WHERE status = 'unresolved';
