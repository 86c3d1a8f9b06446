"""Two versions at once: every replica is replaced by the present version, one by one, under load.

The earlier version is the commit in the file `EARLIER`, unpacked beside the run.
"""
