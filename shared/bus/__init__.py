"""How a topup travels: the stream functions of the protocol and their typed wrappers."""
