"""The dispatcher: takes accepted topups to a known outcome, and never pays twice.

Reads topup:{p}:requests:<PROVIDER> (group `dispatcher`). Writes topup:{p}:outcomes.
Owns attempts, and the lanes' states.
Promises: no byte goes to a provider before its attempt is on disk; doubt is never called failure.
"""
