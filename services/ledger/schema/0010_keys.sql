-- Several keys a customer: what each is for, and when one that was replaced ends by itself.

ALTER TABLE api_keys
    ADD COLUMN label      text NOT NULL DEFAULT '',
    ADD COLUMN expires_at timestamptz; -- null: never

-- Customers and keys are operators' business: the ledger tells of them and notes their use.
REVOKE INSERT, UPDATE ON customers, api_keys FROM topup_ledger;
GRANT UPDATE (last_used_at) ON api_keys TO topup_ledger;
