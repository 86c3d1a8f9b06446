"""Who asks: the key says which customer, for which merchant's path, and for what."""

from typing import Final

from services.gateway.keys import Keyring
from services.gateway.refusals import Forbidden, Unauthorized, Unavailable
from services.gateway.requests import Asked
from shared.contracts.peers import ApiKey

WRITE: Final = "topup:write"
READ: Final = "topup:read"


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
    key = keyring.find(asked.headers.get("x-api-key", ""))
    if key is None:
        raise Unauthorized("The header x-api-key must hold a working API key")
    if asked.headers.get("x-customer-id", key.customer_id) != key.customer_id:
        raise Forbidden("x-customer-id is not the customer of this API key; leave it out")
    if asked.merchant != key.merchant:
        raise Forbidden("This API key is for another merchant's path")
    if scope not in key.scopes:
        raise Forbidden(f"This API key has no scope {scope}")
    return key
