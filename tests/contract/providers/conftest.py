"""One sandbox for each module of tests; references differ, so that they don't meet in its book."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping

import pytest
import uvloop

from services.dispatcher.providers.latcom import Latcom
from tests.contract.providers.sales import latcom
from tests.contract.providers.sandboxes import Sandbox, sandbox

LoopFactory = Callable[[], asyncio.AbstractEventLoop]


def pytest_asyncio_loop_factories(item: pytest.Item) -> Mapping[str, LoopFactory]:
    """Run on the loop of production; the wire on the other one too, which writes elsewhen."""
    factories: dict[str, LoopFactory] = {"uvloop": uvloop.new_event_loop}
    if item.path.name == "test_wire.py":
        factories["asyncio"] = asyncio.new_event_loop
    return factories


@pytest.fixture(scope="module")
def provider() -> Iterator[Sandbox]:
    """A sandbox that behaves as LATCOM does."""
    with sandbox() as started:
        yield started


@pytest.fixture
async def adapter(provider: Sandbox) -> AsyncIterator[Latcom]:
    """LATCOM's adapter, talking to the sandbox."""
    made = latcom(provider.url)
    yield made
    await made.close()
