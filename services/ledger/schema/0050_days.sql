-- no transaction
-- A day of one provider, for its statement. Rows come nearly in the order of time, so a summary of
-- each few pages finds them: it is of some kilobytes, and costs booking nothing worth measuring.

CREATE INDEX CONCURRENTLY IF NOT EXISTS topups_by_day
    ON topups USING brin (accepted_at) WITH (pages_per_range = 32, autosummarize = on);
