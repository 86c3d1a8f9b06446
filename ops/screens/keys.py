"""An API key as operators see it: a row of a table, or JSON; never the key itself."""

from typing import Any

from ops.screens.listing import moment
from services.ledger.keys import Key


def as_row(key: Key) -> dict[str, str]:
    """Return the columns of a table of keys."""
    return {
        "id": key.id,
        "customer": key.customer_id,
        "begins with": key.prefix,
        "label": key.label or "-",
        "scopes": " ".join(key.scopes),
        "state": _state(key),
        "last used": moment(key.last_used_at),
        "created": moment(key.created_at),
    }


def as_json_of(key: Key) -> dict[str, Any]:
    """Return the same for programs."""
    return {
        "id": key.id,
        "customer_id": key.customer_id,
        "prefix": key.prefix,
        "label": key.label,
        "scopes": key.scopes,
        "works": not (key.ended or key.customer_disabled),
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "revoked_at": key.revoked_at,
        "last_used_at": key.last_used_at,
    }


def _state(key: Key) -> str:
    if key.revoked_at is not None:
        return f"revoked {moment(key.revoked_at)}"
    if key.ended:
        return f"ended {moment(key.expires_at)}"
    if key.customer_disabled:
        return "customer disabled"
    return "works" if key.expires_at is None else f"ends {moment(key.expires_at)}"
