-- How far the books have come in the streams, and in which: what a server that came back must have.

CREATE TABLE positions (
    stream    text PRIMARY KEY, -- its key in Valkey
    entry_ms  bigint NOT NULL, -- the highest entry id that is booked, in its two parts
    entry_seq bigint NOT NULL
) WITH (fillfactor = 50); -- a few hot rows, as in totals

-- A partition's generation is drawn once and lies in Valkey too: an emptied server has none.
CREATE TABLE generations (
    partition  integer PRIMARY KEY,
    generation text NOT NULL,
    since      timestamptz NOT NULL DEFAULT now()
);

-- They only grow: one that was set back would let streams pass that lack what was paid.
CREATE TRIGGER onwards BEFORE UPDATE ON positions
    FOR EACH ROW
    WHEN (NEW.stream <> OLD.stream
          OR (NEW.entry_ms, NEW.entry_seq) < (OLD.entry_ms, OLD.entry_seq))
    EXECUTE FUNCTION refuse_change();
ALTER TABLE positions ENABLE ALWAYS TRIGGER onwards;

GRANT SELECT, INSERT ON positions, generations TO topup_ledger;
GRANT UPDATE (entry_ms, entry_seq) ON positions TO topup_ledger;
