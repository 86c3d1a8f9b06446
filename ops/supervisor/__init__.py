"""Starts all that one machine runs in order, keeps it up, and drains it in order."""
