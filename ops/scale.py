"""`topup scale`: more or fewer replicas of what runs."""

import os

from ops.errors import CommandFailed

_EXAMPLE = "for example: topup scale dispatcher=5 gateway=2"


def scale(*counts: str) -> None:
    """Start or drain replicas until there are so many: topup scale dispatcher=5 gateway=2.

    Args:
        counts: SERVICE=COUNT, one or more.
    """
    wanted = parse_counts(counts)
    from ops.supervisor.control import Scale, ask
    from ops.supervisor.folder import data_folder
    from ops.tables import print_rows

    print_rows(ask(data_folder(os.environ).socket, Scale(wanted)))


def parse_counts(counts: tuple[str, ...]) -> dict[str, int]:
    """Return the count of each service; raises CommandFailed naming what is wrong."""
    if not counts:
        raise CommandFailed(f"say which service and how many; {_EXAMPLE}", status=2)
    wanted: dict[str, int] = {}
    for text in counts:
        service, equals, count = text.partition("=")
        if not service or not equals:
            raise CommandFailed(f"{text!r} is not SERVICE=COUNT; {_EXAMPLE}", status=2)
        if not (count.isascii() and count.isdigit()):
            raise CommandFailed(
                f"{service}={count} is not a count, 0 or more; {_EXAMPLE}", status=2
            )
        wanted[service] = int(count)
    return wanted
