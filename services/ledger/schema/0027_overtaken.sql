-- A topup may end by itself while a proposal waits: the ledger closes that, and says why.

ALTER TABLE proposals
    ADD COLUMN ended_why text CHECK (length(ended_why) BETWEEN 1 AND 2000),
    DROP CONSTRAINT proposals_state_check,
    ADD CONSTRAINT proposals_state_check
        CHECK (state IN ('proposed', 'confirmed', 'withdrawn', 'overtaken'));
GRANT UPDATE (ended_why) ON proposals TO topup_ledger;

-- Those that were left open until now; whose act of settling is still to be read, it confirms.
UPDATE proposals
SET state = 'overtaken', checker = 'ledger', ended_at = now(),
    ended_why = 'it has ' || topups.status || ' by itself: a late answer of the provider'
FROM topups
WHERE topups.topup_id = proposals.topup_id AND proposals.state = 'proposed'
  AND topups.status IN ('succeeded', 'failed');
