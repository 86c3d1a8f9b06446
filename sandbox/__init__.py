"""A stateful stand-in for each provider: its wire on a real socket, and one book of payments."""
