"""What is wrong with a URL, said without repeating any of it: it may hold a password."""

import re
from typing import Final

CLUSTER: Final = "+cluster"
"""What the scheme of a cluster's URL ends with; between commas it names some of its nodes."""

_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.%]+\]|[^:\[\]]*)(:(?P<port>[0-9]{1,5}))?")
_BARE_PERCENT: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_PORT_MAX: Final = 65_535


def problem_of(url: str) -> str | None:
    """Return what keeps the URL from being read, or None; a driver's own words would quote it."""
    authority = re.split(r"[/?#]", url.partition("://")[2], maxsplit=1)[0]
    access, _, hosts = authority.rpartition("@")
    if any(character in access for character in "@[]"):
        return "has an @, [ or ] in its user or password: write them as %40, %5B and %5D"
    if _BARE_PERCENT.search(access):
        return "has a % in its user or password: write it as %25"
    found = [_HOST.fullmatch(host) for host in hosts.split(",")]
    if not all(host and int(host["port"] or 0) <= _PORT_MAX for host in found):
        return "has no host and port that can be read: write / and : of a password as %2F and %3A"
    return None
