"""Who asks: the key says which customer, for which merchant's path, and for what."""

from services.gateway import metrics
from services.gateway.keys import Keyring
from services.gateway.refusals import Forbidden, Unauthorized, Unavailable
from services.gateway.requests import Asked
from shared.contracts.keys import is_well_formed
from shared.contracts.peers import ApiKey


def admit(keyring: Keyring, asked: Asked, *, scope: str) -> ApiKey:
    """Return the working key of the request.

    Raises:
        Unavailable: nobody can tell which keys work.
        Unauthorized, Forbidden: no working key, or not one for this.
    """
    if keyring.is_stale:
        raise Unavailable(
            "Nothing was accepted: API keys cannot be checked right now. "
            "Repeat it later, with the same Idempotency-Key"
        )
    secret = asked.headers.get("x-api-key", "")
    key = keyring.find(secret)
    if key is None:
        metrics.KEYS_REFUSED.labels(_why_refused(secret)).inc()
        raise Unauthorized("The header x-api-key must hold a working API key")
    if asked.headers.get("x-customer-id", key.customer_id) != key.customer_id:
        raise Forbidden("x-customer-id is not the customer of this API key; leave it out")
    if asked.merchant != key.merchant:
        raise Forbidden("This API key is for another merchant's path")
    if scope not in key.scopes:
        raise Forbidden(f"This API key has no scope {scope}")
    return key


def _why_refused(secret: str) -> str:
    """Return what operators see of it; the caller hears the same in each case."""
    if not secret:
        return "none"
    return "unknown" if is_well_formed(secret) else "malformed"
