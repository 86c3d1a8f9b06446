"""Starts the sandbox: `python -m sandbox`."""

import os
import sys
from collections.abc import Mapping

import uvloop

from sandbox.book import Book
from sandbox.server import listen, serve
from sandbox.settings import WrongSetting, read


def main(environ: Mapping[str, str]) -> int:
    """Serve until a signal; return 2 where the settings are wrong, 1 where the machine is."""
    try:
        settings = read(environ, instance_id=f"sandbox-{os.getpid()}")
    except WrongSetting as problem:
        sys.stderr.write(f"{problem}\n")
        return 2
    try:
        book = Book(settings.book)
        sock = listen(settings.host, settings.port)
    except (OSError, ValueError) as problem:
        sys.stderr.write(f"sandbox cannot start: {problem}\n")
        return 1
    with sock:
        try:
            uvloop.run(serve(settings, sock, book))
        finally:
            book.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(os.environ))
