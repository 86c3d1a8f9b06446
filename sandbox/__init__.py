"""A stateful stand-in for a provider: LATCOM's wire on a real socket, and a book of payments."""
