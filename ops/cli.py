"""`topup`: one command, one file each; what a command needs is imported when it runs."""

import sys

from cyclopts import App

from ops.errors import CommandFailed

app = App(name="topup", help="Run the topup switch on this machine, look at it, operate it.")
for _name in ("up", "ps", "scale"):
    app.command(f"ops.{_name}:{_name}", name=_name)


def main() -> None:
    """Run one command line; a problem is one line and a status, never a traceback."""
    try:
        app()
    except CommandFailed as problem:
        sys.stderr.write(f"topup: {problem}\n")
        sys.exit(problem.status)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:  # the reader of our output has seen enough
        sys.stderr.close()
        sys.exit(141)
