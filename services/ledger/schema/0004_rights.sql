-- What the ledger may do with the books that it does not own: add to them, and no more.
-- `topup migrate` lets the role log in where LEDGER_PASSWORD is given. A later table is granted by
-- the migration that makes it.

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'topup_ledger') THEN
        CREATE ROLE topup_ledger NOLOGIN;
    END IF;
EXCEPTION
    WHEN duplicate_object OR unique_violation THEN
        NULL; -- another database of this server was migrated at the same moment
    WHEN insufficient_privilege THEN
        RAISE EXCEPTION '% may not make roles; let an administrator run: CREATE ROLE topup_ledger',
            current_user;
END
$$;

REVOKE CREATE ON SCHEMA public FROM PUBLIC; -- as it is by itself from version 15 on
GRANT USAGE ON SCHEMA public TO topup_ledger;
GRANT SELECT ON migrations TO topup_ledger;
GRANT SELECT, INSERT ON topups, outcomes, postings, set_aside, totals TO topup_ledger;
GRANT UPDATE (status, reason, provider_reference, settled_at, seq) ON topups TO topup_ledger;
GRANT UPDATE (transactions, amount_minor) ON totals TO topup_ledger;
GRANT SELECT, INSERT, UPDATE ON customers, api_keys TO topup_ledger;

-- A topup's row goes on to its next outcome; what was asked for stays. For the owner too.
CREATE TRIGGER append_only
    BEFORE UPDATE OF topup_id, customer_id, phone, country, amount_minor, currency, provider,
                     product, reference, metadata, accepted_at, digest
        OR DELETE OR TRUNCATE ON topups
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER onwards BEFORE UPDATE ON topups
    FOR EACH ROW WHEN (NEW.seq <= OLD.seq) EXECUTE FUNCTION refuse_change();
ALTER TABLE topups ENABLE ALWAYS TRIGGER append_only;
ALTER TABLE topups ENABLE ALWAYS TRIGGER onwards;
