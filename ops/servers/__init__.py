"""The servers a fresh machine lacks, from the wheels that carry them: Valkey and PostgreSQL."""
