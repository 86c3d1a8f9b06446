"""`topup scale`: more or fewer replicas of what runs."""

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ops.errors import CommandFailed

if TYPE_CHECKING:
    from ops.supervisor.control import Answer

_EXAMPLE = "for example: topup scale dispatcher=5 gateway=2"
_DIGITS_MAX = 9


def scale(*counts: str) -> None:
    """Start or drain replicas until there are so many: topup scale dispatcher=5 gateway=2.

    Args:
        counts: SERVICE=COUNT, one or more.
    """
    wanted = parse_counts(counts)
    from ops.supervisor.control import Scale, ask
    from ops.supervisor.folder import data_folder
    from ops.tables import print_rows

    answer = ask(data_folder(os.environ).socket, Scale(wanted))
    print_rows(answer.rows)
    problems = list(_unfulfilled(answer, wanted))
    if problems:
        raise CommandFailed("\n".join(problems))


def _unfulfilled(answer: "Answer", wanted: dict[str, int]) -> Iterator[str]:
    """Yield what is not as it was wished, or did not go as it should."""
    for name in answer.killed:
        yield f"{name} did not finish what it had in flight in time, and was ended"
    for service, count in wanted.items():
        rows = [row for row in answer.rows if row.service == service]
        if len(rows) != count:
            yield f"{service} has {len(rows)}, not {count}: it was scaled again meanwhile"
        for row in rows:
            if row.state != "ready":
                yield f"{row.id} is not ready: {row.state}; see: topup logs {row.id}"


def parse_counts(counts: tuple[str, ...]) -> dict[str, int]:
    """Return the count of each service; raises CommandFailed naming what is wrong."""
    if not counts:
        raise CommandFailed(f"say which service and how many; {_EXAMPLE}", status=2)
    wanted: dict[str, int] = {}
    for text in counts:
        service, equals, count = text.partition("=")
        if not service or not equals:
            raise CommandFailed(f"{text!r} is not SERVICE=COUNT; {_EXAMPLE}", status=2)
        if not (count.isascii() and count.isdigit() and len(count) <= _DIGITS_MAX):
            raise CommandFailed(
                f"{service}={count[:32]} is not a count, 0 or more; {_EXAMPLE}", status=2
            )
        if service in wanted:
            raise CommandFailed(f"{service} is there twice; {_EXAMPLE}", status=2)
        wanted[service] = int(count)
    return wanted
