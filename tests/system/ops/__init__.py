"""The supervisor and the `topup` command, on real processes and servers; services are stubs."""
