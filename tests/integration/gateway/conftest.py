"""A house with one gateway, on an empty Valkey."""

from collections.abc import AsyncIterator

import pytest

from tests.integration.gateway.house import House, house


@pytest.fixture
async def home(redis_url: str) -> AsyncIterator[House]:
    """All that gateways need."""
    async with house(redis_url, redis_url) as parts:
        yield parts


@pytest.fixture
async def gateway(home: House) -> str:
    """The address of one gateway."""
    return await home.gateway()
