"""The gateway: takes a merchant's topup; its 202 is a promise that the topup is on disk.

Reads records and lanes' states, topup:{p}:outcomes while somebody waits for one, topup:keys, and
the ledger's API. Writes topup:{p}:requests:<PROVIDER> by `accept`. Owns the HTTP contract for
merchants and admins.
Promises: one topup per idempotency key; an unsure accept is told as unsure, never as refused.
"""
