"""The attacker: kills, stops, cuts and fills what runs while merchants sell, then checks it all.

`make chaos` runs it. The faults are drawn from a seed, the verdict from four independent sources:
the merchant's own log, the provider's book, PostgreSQL and the streams.
"""
