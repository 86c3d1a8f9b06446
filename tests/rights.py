"""Lets the services under test log in as themselves, with no right that they would not have."""

import contextlib

from redis import Redis
from redis.exceptions import ResponseError

from shared.bus.rights import rules, user_of

PASSWORD = "of-the-tests"


def as_service(url: str, service: str) -> str:
    """Make the service's user on the server; return where it is served."""
    with Redis.from_url(url) as client:
        user = user_of(service)
        client.execute_command("ACL", "SETUSER", user, "reset", *rules(service, PASSWORD))
        with contextlib.suppress(ResponseError):  # a server without a file forgets it at its end
            client.execute_command("CONFIG", "REWRITE")
    return f"redis://{user}:{PASSWORD}@{url.partition('://')[2].rpartition('@')[2]}"
