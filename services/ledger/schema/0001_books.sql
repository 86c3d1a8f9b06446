-- The books: what was asked for, what became of it, and where the money is.
-- Everything belongs to (topup_id, seq): seq 0 is the request, 1 its first outcome, 2 what an
-- unresolved one was resolved to. There is no foreign key between them: an outcome carries the
-- whole request, so whichever entry comes first makes the topup's row.

CREATE TABLE topups (
    topup_id           uuid PRIMARY KEY,
    customer_id        text NOT NULL,
    phone              text NOT NULL,
    country            text NOT NULL,
    amount_minor       bigint NOT NULL CHECK (amount_minor > 0),
    currency           text NOT NULL,
    provider           text NOT NULL,
    product            text NOT NULL,
    reference          text,
    metadata           json, -- not jsonb: given back as it was sent
    accepted_at        timestamptz NOT NULL,
    digest             bytea NOT NULL, -- of the request; another one for this id is set aside
    status             text NOT NULL DEFAULT 'queued',
    reason             text,
    provider_reference text,
    settled_at         timestamptz,
    seq                smallint NOT NULL DEFAULT 0 -- of the outcome that status was taken from
);

CREATE TABLE outcomes (
    topup_id           uuid NOT NULL,
    seq                smallint NOT NULL CHECK (seq > 0),
    state              text NOT NULL CHECK (state IN ('succeeded', 'failed', 'unresolved')),
    reason             text,
    provider_reference text,
    evidence           json,
    settled_at         timestamptz NOT NULL,
    entry              text NOT NULL, -- its id on the outcomes stream
    digest             bytea NOT NULL,
    booked_at          timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (topup_id, seq)
);

-- One line moves an amount from one account to another, so it cannot be out of balance. The
-- customer's and the provider's names are those of the topup.
CREATE TABLE postings (
    topup_id     uuid NOT NULL,
    seq          smallint NOT NULL,
    line         smallint NOT NULL,
    debit        text NOT NULL,
    credit       text NOT NULL CHECK (credit <> debit),
    currency     text NOT NULL,
    amount_minor bigint NOT NULL CHECK (amount_minor > 0),
    PRIMARY KEY (topup_id, seq, line)
);

-- An entry that contradicts what is booked for its (topup_id, seq); people decide.
CREATE TABLE set_aside (
    topup_id uuid NOT NULL,
    seq      smallint NOT NULL,
    digest   bytea NOT NULL,
    content  json NOT NULL,
    seen_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (topup_id, seq, digest)
);

-- Counts and sums, kept by the transactions that book. By quarter of an hour, because each time
-- zone's midnight is at one; and at 'epoch' for all time.
CREATE TABLE totals (
    quarter      timestamptz NOT NULL,
    kind         text NOT NULL,
    currency     text NOT NULL,
    transactions bigint NOT NULL,
    amount_minor numeric NOT NULL,
    PRIMARY KEY (quarter, kind, currency)
) WITH (fillfactor = 50); -- a few hot rows: their next versions stay on their page

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % refused', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'insufficient_privilege', HINT = 'book a correction instead';
END
$$;

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON outcomes
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON postings
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON set_aside
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
-- ALWAYS: session_replication_role does not switch them off, for the owner neither.
ALTER TABLE outcomes ENABLE ALWAYS TRIGGER append_only;
ALTER TABLE postings ENABLE ALWAYS TRIGGER append_only;
ALTER TABLE set_aside ENABLE ALWAYS TRIGGER append_only;
