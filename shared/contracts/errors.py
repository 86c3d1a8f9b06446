"""The one error tree: each error is named for what happened and says what its catcher should do."""

from typing import ClassVar


class TopupError(Exception):
    """Whatever goes wrong in a way that we have a name for."""

    code: ClassVar[str] = "internal"


class InvalidRequest(TopupError):
    """The request cannot be understood; tell the merchant which field and what would do."""

    code = "invalid_request"


class InvalidAmount(TopupError):
    """No product can be sold at this amount; nothing was accepted."""

    code = "invalid_amount"


class InvalidPhone(TopupError):
    """The phone is not valid in its country; nothing was accepted."""

    code = "invalid_phone"


class UnknownProvider(TopupError):
    """No adapter has this name; nothing was accepted."""

    code = "unknown_provider"


class InvalidSettings(TopupError):
    """The environment is wrong; print every line and stop with status 2."""

    code = "invalid_settings"


class PartitionsDiffer(TopupError):
    """The streams were made with another STREAM_PARTITIONS; refuse to run."""

    code = "partitions_differ"


class FunctionsUnsupported(TopupError):
    """The server has no FUNCTION command; it must be Valkey, or Redis 7 or later."""

    code = "functions_unsupported"


class NotAccepted(TopupError):
    """The server refused before doing anything: surely nothing was done; it may be repeated."""

    code = "unavailable"


class Unverified(NotAccepted):
    """The streams came back, and nobody has compared them with the books yet: repeat it later."""


class NotKnown(TopupError):
    """No answer came: it may have been done; repeat with the same ids, never with new ones."""

    code = "not_known"


class NotDurable(NotKnown):
    """It was done, but not on as many disks as promised; repeat, or give the work back unsent."""

    code = "not_durable"


class Overloaded(TopupError):
    """More work waits than we hold; nothing was done; answer 503 with Retry-After."""

    code = "unavailable"
