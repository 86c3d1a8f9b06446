-- Topups with provider AUTO: who may have them, and who had them in the end.
-- `route` is JSON as it was accepted, {"<PROVIDER>": "<product>", …}; null where the merchant chose.
-- `topups.provider` is AUTO until the first outcome that names a provider, and then that one;
-- `topups.product` stays as asked: what is sold is `route ->> provider`.

ALTER TABLE topups ADD COLUMN route json;
ALTER TABLE outcomes ADD COLUMN provider text; -- of AUTO only: whose outcome this is

DROP TRIGGER append_only ON topups;
CREATE TRIGGER append_only
    BEFORE UPDATE OF topup_id, customer_id, phone, country, amount_minor, currency, product,
                     reference, metadata, accepted_at, digest, route
        OR DELETE OR TRUNCATE ON topups
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
-- Whom the merchant chose stays; with AUTO it is one of its route.
CREATE TRIGGER provider_of_route BEFORE UPDATE OF provider ON topups
    FOR EACH ROW
    WHEN (NEW.provider <> OLD.provider
          AND (OLD.route IS NULL OR OLD.route -> NEW.provider IS NULL))
    EXECUTE FUNCTION refuse_change();
ALTER TABLE topups ENABLE ALWAYS TRIGGER append_only;
ALTER TABLE topups ENABLE ALWAYS TRIGGER provider_of_route;

GRANT UPDATE (provider) ON topups TO topup_ledger;
