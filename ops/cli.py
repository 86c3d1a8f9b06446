"""`topup`: one command, one file each; what a command needs is imported when it runs."""

import sys
from typing import Final

from cyclopts import App, CycloptsError, UnusedCliTokensError

from ops.errors import CommandFailed
from ops.line import check_words

_USAGE: Final = 2
_COMMANDS: Final = {
    "up": "Start every server and service here; Ctrl-C drains and stops them.",
    "ps": "Show every replica and server that runs here (--json: a list).",
    "status": "Show the whole system on one screen (--json; --watch).",
    "top": "Show the live picture: rates, lanes, replicas, newest ends.",
    "tail": "Show what becomes of topups as it happens: topup tail --status failed.",
    "explain": "Tell the story of one topup, by ID, reference or phone: explain ID.",
    "evidence": "Write one sale to a file that a stranger can verify: evidence ID.",
    "scale": "Change how many replicas run: topup scale dispatcher=5 gateway=2.",
    "logs": "Show what replicas and servers wrote: topup logs dispatcher --follow.",
    "lanes": "Show, hold and release lanes: topup lanes hold LATCOM --reason R.",
    "unresolved": "Show money in limbo, and settle it: topup unresolved list.",
    "dead": "Show what was put aside, drive it again, discard it: topup dead list.",
    "doctor": "Check settings, durability, schema, lanes and clocks; say what to do.",
    "migrate": "Bring the database of DATABASE_URL, or of what runs here, up to date.",
    "backup": "Write the whole database to a file: topup backup books.zip.",
    "restore": "Bring a backup into an empty database (--dry-run): restore books.zip.",
    "replay": "Book stream entries again, and say what that changed (--dry-run).",
    "export": "Write stream entries to a file, for topup replay --file.",
    "reconcile": "Compare a provider's statement with the books: reconcile --day D.",
    "ledger": "Check the books, or tell two of them apart: topup ledger verify.",
    "customers": "Make, show, limit and disable customers: topup customers list.",
    "keys": "Draw, list, rotate and revoke their API keys: topup keys list.",
    "operators": "Let people operate, each with an own key: topup operators list.",
    "audit": "Show who did what, or check the chain of it: topup audit list.",
    "asyncapi": "Print the streams' description, as AsyncAPI 3: topup asyncapi.",
    "serve": "Be one replica of one service: topup serve gateway.",
}
_EXAMPLES: Final = {
    "logs": "topup logs dispatcher --tail 50",
    "scale": "topup scale dispatcher=5",
    "tail": "topup tail --since 10m --status failed",
    "explain": "topup explain 0195f2c4-7a1e-7c3b-9a50-2f6d1c0b8e11",
    "evidence": "topup evidence 0195f2c4-7a1e-7c3b-9a50-2f6d1c0b8e11",
    "serve": "topup serve gateway",
    "lanes": "topup lanes hold LATCOM --reason maintenance --for 30m",
    "unresolved": "topup unresolved show 0195f2c4-7a1e-7c3b-9a50-2f6d1c0b8e11",
    "dead": "topup dead show 0.1795471200123-0",
    "backup": "topup backup books.zip",
    "restore": "topup restore books.zip --dry-run",
    "replay": "topup replay --from 2026-11-23 --to 2026-11-24 --dry-run",
    "export": "topup export --from 2026-11-01 --to 2026-12-01 november.jsonl.gz",
    "reconcile": "topup reconcile --provider LATCOM --file statement.csv --day 2026-11-23",
    "ledger": "topup ledger verify",
    "customers": "topup customers limit ACME_001 500",
    "keys": "topup keys create ACME_001",
    "operators": "topup operators add ana",
    "audit": "topup audit list --target LATCOM",
}


def _version() -> str:
    from shared.runtime.instance import product_version

    return product_version()


app = App(
    name="topup",
    help="Run the topup switch on this machine, look at it, operate it.",
    help_formatter="plain",
    help_format="plaintext",
    version=_version,
)
for _place, (_name, _help) in enumerate(_COMMANDS.items()):
    app.command(f"ops.commands.{_name}:{_name}", name=_name, help=_help, sort_key=_place)


def main() -> None:
    """Run one command line; a problem is one line and a status, never a traceback."""
    try:
        check_words(sys.argv[1:])
        sys.exit(app(sys.argv[1:], exit_on_error=False, print_error=False))
    except CycloptsError as problem:
        _fail(_misused(problem), _USAGE)
    except CommandFailed as problem:
        _fail(str(problem), problem.status)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:  # the reader of our output has seen enough
        sys.stderr.close()
        sys.exit(141)
    except OSError as problem:  # a full disk, a folder that another user owns
        place = f"{problem.filename}: " if problem.filename else ""
        _fail(f"{place}{problem.strerror or problem}", 1)


def _misused(problem: CycloptsError) -> str:
    command = (problem.command_chain or ["ps"])[0]
    said = " ".join(str(problem).split())
    if isinstance(problem, UnusedCliTokensError):
        said = f"topup {command} takes no {' '.join(problem.unused_tokens or ())!r}."
    return f"{said} For example: {_EXAMPLES.get(command, f'topup {command}')}"


def _fail(problem: str, status: int) -> None:
    sys.stderr.writelines(f"topup: {line}\n" for line in problem.splitlines())
    sys.exit(status)
