"""The four services, and who meets whom where.

gateway      writes topup:{p}:requests:<PROVIDER> (accept); asks ratelimiter and ledger over HTTP
dispatcher   reads the requests, group `dispatcher`; writes topup:{p}:outcomes (finish)
ledger       reads requests and outcomes, group `ledger`; writes Postgres; announces topup:keys
ratelimiter  reads and writes the volatile Redis only
"""
