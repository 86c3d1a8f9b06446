-- What people propose to settle an unresolved topup as, on which evidence; another person confirms.

CREATE TABLE proposals (
    id          uuid PRIMARY KEY, -- also of the act that settles the topup
    topup_id    uuid NOT NULL,
    settle_as   text NOT NULL CHECK (settle_as IN ('succeeded', 'failed')),
    evidence    text NOT NULL CHECK (length(evidence) BETWEEN 1 AND 1000),
    file_name   text CHECK (length(file_name) BETWEEN 1 AND 255),
    file_sha256 text CHECK (file_sha256 ~ '^[0-9a-f]{64}$'),
    file        bytea CHECK (octet_length(file) <= 65536),
    asked_at    timestamptz, -- when the provider was asked; a no counts only after the quarantine
    maker       text NOT NULL,
    made_at     timestamptz NOT NULL DEFAULT now(),
    state       text NOT NULL DEFAULT 'proposed'
                CHECK (state IN ('proposed', 'confirmed', 'withdrawn')),
    checker     text, -- who ended it
    ended_at    timestamptz,
    CHECK ((file IS NULL) = (file_name IS NULL) AND (file IS NULL) = (file_sha256 IS NULL)),
    CHECK ((state = 'proposed') = (checker IS NULL) AND (checker IS NULL) = (ended_at IS NULL)),
    CHECK (settle_as = 'succeeded' OR asked_at IS NOT NULL)
);

-- One at a time for each topup.
CREATE UNIQUE INDEX proposals_open ON proposals (topup_id) WHERE state = 'proposed';
CREATE INDEX proposals_of_topup ON proposals (topup_id, made_at);

-- What was proposed stays, and what was confirmed is over.
CREATE TRIGGER append_only
    BEFORE UPDATE OF id, topup_id, settle_as, evidence, file_name, file_sha256, file, asked_at,
                     maker, made_at
        OR DELETE OR TRUNCATE ON proposals
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER onwards BEFORE UPDATE ON proposals
    FOR EACH ROW WHEN (OLD.state = 'confirmed' OR NEW.state = 'proposed')
    EXECUTE FUNCTION refuse_change();
ALTER TABLE proposals ENABLE ALWAYS TRIGGER append_only;
ALTER TABLE proposals ENABLE ALWAYS TRIGGER onwards;

GRANT SELECT, INSERT ON proposals TO topup_ledger;
GRANT UPDATE (state, checker, ended_at) ON proposals TO topup_ledger;
