"""The `topup` command: starts everything, watches it, and lets an operator look and act."""
