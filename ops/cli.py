"""`topup`: one command, one file each; what a command needs is imported when it runs."""

import sys
from typing import Final

from cyclopts import App, CycloptsError

from ops.errors import CommandFailed

_USAGE: Final = 2
_COMMANDS: Final = {
    "up": "Start every server and service here; Ctrl-C drains and stops them.",
    "ps": "Show every replica and server that runs here (--json: a list).",
    "scale": "Change how many replicas run: topup scale dispatcher=5 gateway=2.",
    "logs": "Show what replicas and servers wrote: topup logs dispatcher --follow.",
    "doctor": "Check settings, durability, functions, schema and clocks; say what to do.",
    "migrate": "Bring the database of DATABASE_URL, or of what runs here, up to date.",
    "ledger": "Check the books, or tell two of them apart: topup ledger verify.",
    "serve": "Be one replica of one service: topup serve gateway.",
}

app = App(
    name="topup",
    help="Run the topup switch on this machine, look at it, operate it.",
    help_formatter="plain",
    help_format="plaintext",
)
for _place, (_name, _help) in enumerate(_COMMANDS.items()):
    app.command(f"ops.{_name}:{_name}", name=_name, help=_help, sort_key=_place)


def main() -> None:
    """Run one command line; a problem is one line and a status, never a traceback."""
    try:
        sys.exit(app(exit_on_error=False, print_error=False))
    except CycloptsError as problem:
        _fail(f"{' '.join(str(problem).split())} For example: topup ps", _USAGE)
    except CommandFailed as problem:
        _fail(str(problem), problem.status)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:  # the reader of our output has seen enough
        sys.stderr.close()
        sys.exit(141)


def _fail(problem: str, status: int) -> None:
    sys.stderr.writelines(f"topup: {line}\n" for line in problem.splitlines())
    sys.exit(status)
