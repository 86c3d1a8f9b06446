"""Benchmarks that print ratios; each says what it measures in its first line."""
