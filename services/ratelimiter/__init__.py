"""The ratelimiter: who may how much; one exact sliding window a customer, over all gateways.

Reads and writes topup:{limits}:* on the volatile Redis, and nothing else. Owns the windows, and
the count of gateways alive. Promises: in no 60 seconds of the server's clock does a customer get
more places than its limit, however many gateways and ratelimiters there are.
"""
