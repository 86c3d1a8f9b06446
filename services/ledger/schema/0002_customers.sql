-- Who may sell, and with which keys; of a key only the digest is kept.

CREATE TABLE customers (
    customer_id      text PRIMARY KEY,
    merchant         text NOT NULL, -- the path segment of its API calls
    limit_per_minute integer CHECK (limit_per_minute > 0), -- null: RATE_LIMIT_PER_MINUTE
    disabled         boolean NOT NULL DEFAULT false,
    created_at       timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE api_keys (
    sha256       text PRIMARY KEY CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    prefix       text NOT NULL, -- the key's first characters, to tell keys apart
    customer_id  text NOT NULL REFERENCES customers,
    scopes       text[] NOT NULL DEFAULT '{topup:write,topup:read}',
    created_at   timestamptz NOT NULL DEFAULT now(),
    revoked_at   timestamptz,
    last_used_at timestamptz
);

CREATE INDEX api_keys_by_customer ON api_keys (customer_id);
