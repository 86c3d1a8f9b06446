"""The ledger: books every topup and every outcome exactly once, and answers for the past.

Reads topup:{p}:requests:<PROVIDER> and topup:{p}:outcomes as the group `ledger`, and for lists the
records of what is still open. Writes PostgreSQL, topup:{p}:dead and topup:keys. Owns the schema,
the books, customers and keys.
Promises: replaying any range of the streams, in any order, any number of times, gives the same
books; nothing is acknowledged before it is committed.
"""
