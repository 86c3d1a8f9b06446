"""One thing the doctor found."""

from msgspec import Struct


class Finding(Struct, frozen=True):
    """What was looked at and found; with a remedy it is a problem, else all is well."""

    subject: str
    found: str
    remedy: str | None = None
