-- Who was paid, where the streams lost which provider of AUTO had the topup: who proposes says it.
-- expand: an earlier version names nobody, which all of it allows, and the trigger comes back wider.

ALTER TABLE proposals
    ADD COLUMN provider text CHECK (provider ~ '^[A-Z0-9_]{1,32}$'),
    ADD CONSTRAINT proposals_provider_was_paid CHECK (provider IS NULL OR settle_as = 'succeeded');

-- What was proposed stays.
DROP TRIGGER append_only ON proposals;
CREATE TRIGGER append_only
    BEFORE UPDATE OF id, topup_id, settle_as, provider, evidence, file_name, file_sha256, file,
                     asked_at, maker, made_at
        OR DELETE OR TRUNCATE ON proposals
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
ALTER TABLE proposals ENABLE ALWAYS TRIGGER append_only;
