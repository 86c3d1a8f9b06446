"""The header Prefer (RFC 7240): `wait` is understood, everything else in it is ignored."""

import re
from typing import Final

WAIT_S_MAX: Final = 60
HEADER_CHARACTERS_MAX: Final = 1_000
_PREFERENCE: Final = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*")+')
_WAIT: Final = re.compile(
    r'\s*wait\s*=\s*(?:([0-9]{1,9})|"([0-9]{1,9})")\s*(?:;.*)?', re.IGNORECASE
)


def preferred_wait_s(header: str | None) -> int | None:
    """Return for how many seconds, at most 60, an answer may wait; None: answer at once.

    A preference is never wrong: what cannot be read is ignored. More than 60 s is an upper bound
    too, so 60 s keep it.
    """
    if header is None or len(header) > HEADER_CHARACTERS_MAX:
        return None
    for preference in _PREFERENCE.findall(header):
        found = _WAIT.fullmatch(preference)
        if found is not None:
            return min(int(found[1] or found[2]), WAIT_S_MAX)
    return None
