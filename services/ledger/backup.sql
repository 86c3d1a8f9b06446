-- Statements about the schema itself: what a backup takes along.

-- tables_kept: every table but that of the migrations, with its columns in order.
SELECT relname::text, array_agg(attname::text ORDER BY attnum)
FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid
WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p')
  AND NOT relispartition AND relname <> 'migrations'
  AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
GROUP BY relname ORDER BY relname;

-- references_kept: which of them refers to which.
SELECT conrelid::regclass::text, confrelid::regclass::text
FROM pg_constraint
WHERE contype = 'f' AND connamespace = current_schema()::regnamespace AND conrelid <> confrelid;

-- migrations_kept: what has made the schema what it is.
SELECT number, name, sha256 FROM migrations ORDER BY number;
