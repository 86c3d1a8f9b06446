"""Bytes from outside, broken at random: only the documented errors may come out.

`make test` does it for a few seconds from seed 1; `make fuzz` for as long as it is told.
"""
