-- Who may operate: people by name, each with a key of which only the digest is kept.

CREATE TABLE operators (
    sha256     text PRIMARY KEY CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    prefix     text NOT NULL, -- the key's first characters, to tell keys apart
    name       text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    revoked_at timestamptz
);

-- One person has one key at a time.
CREATE UNIQUE INDEX operators_at_work ON operators (name) WHERE revoked_at IS NULL;

GRANT SELECT ON operators TO topup_ledger;
