"""A model of the protocol, written from docs/protocol-functions.md and not from the Lua.

`rules` is the list of what can be switched off, `functions` what Valkey does, `world` everything
around it: two dispatchers, the wire, the provider, the clock and what goes wrong. `search` walks
through every order of it; `python -m tests.model` prints what it found.
"""
