-- What the attempts before the last one found out: a line each, its time and a JSON array.
-- Null where the first attempt settled it, as nearly all do.

ALTER TABLE outcomes ADD COLUMN tried text;
