"""Why a statement cannot be read: what is wrong, where, and what would do."""

from shared.contracts.errors import TopupError


class UnreadableStatement(TopupError):
    """The file or its layout is not what it must be; tell who gave it. Nothing was compared."""

    code = "unreadable_statement"
