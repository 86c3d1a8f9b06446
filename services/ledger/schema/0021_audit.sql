-- Every act of operators, and of lanes by themselves: a chain that only grows. Each row holds the
-- SHA-256 over the hash before it and its own content, so none can be changed, taken out or put in
-- between without all hashes after it; `topup audit verify` goes along it.

CREATE TABLE audit (
    seq      bigint PRIMARY KEY CHECK (seq > 0), -- 1, 2, 3, …
    act_id   uuid NOT NULL UNIQUE,
    at       timestamptz NOT NULL, -- to the millisecond
    who      text NOT NULL,
    act      text NOT NULL,
    target   text NOT NULL,
    why      text NOT NULL,
    before   json NOT NULL, -- not jsonb: hashed as it was written
    after    json NOT NULL,
    previous bytea NOT NULL,
    hash     bytea NOT NULL CHECK (length(hash) = 32)
);

CREATE INDEX audit_by_target ON audit (target, seq);

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
ALTER TABLE audit ENABLE ALWAYS TRIGGER append_only;

GRANT SELECT, INSERT ON audit TO topup_ledger;
