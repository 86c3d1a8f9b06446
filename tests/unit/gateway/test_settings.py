"""The gateway's settings: what is wrong is told before anything starts."""

import pytest

from services.gateway.settings import GatewaySettings
from shared.contracts.errors import InvalidSettings
from shared.runtime.settings import load

NEEDED = {
    "INSTANCE_PORT": "1",
    "REDIS_URL": "redis://a",
    "RATELIMITER_URL": "http://a",
    "LEDGER_URL": "http://a",
}


@pytest.mark.parametrize("key", ["\udcff", "llave-ñ", "two words"])
def test_an_admin_key_that_no_header_can_carry_is_refused(key: str) -> None:
    """Not a key that lets nobody in, found out when somebody must get in."""
    with pytest.raises(
        InvalidSettings,
        match=r"^ADMIN_KEY is not visible ASCII without spaces; for example ADMIN_KEY=V",
    ):
        load(GatewaySettings, NEEDED | {"ADMIN_KEY": key})


def test_an_empty_admin_key_is_none() -> None:
    """The admin API is off then, never open."""
    assert load(GatewaySettings, NEEDED | {"ADMIN_KEY": ""}).admin_key is None
