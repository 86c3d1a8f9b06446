"""`python -m ops.healthcheck`: status 0 where the replica in this container is ready.

What the image's HEALTHCHECK runs, often; so it imports next to nothing.
"""

import os
import sys
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException
from typing import Final

_ANSWER_S_MAX: Final = 2.5
_OK: Final = 200


def is_ready(environ: Mapping[str, str]) -> bool:
    """Ask the instance port, or the only port of what has none (the sandbox)."""
    instance_port = environ.get("INSTANCE_PORT")
    port, path = (instance_port, "/readyz") if instance_port else (environ["PORT"], "/health")
    connection = HTTPConnection("localhost", int(port), timeout=_ANSWER_S_MAX)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == _OK
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(0 if is_ready(os.environ) else 1)
