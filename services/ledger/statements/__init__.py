"""A provider's statement against the books: each line of either side ends in exactly one class.

Reads a file of the provider's (CSV or xlsx) and the topups of one day. Writes nothing.
Promises: totals that add up to the minor unit; the order of the lines does not matter.
"""
