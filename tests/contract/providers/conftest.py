"""One sandbox for each module of tests; references differ, so that they don't meet in its book."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping

import pytest
import uvloop

from services.dispatcher.providers.adapter import Provider
from tests.contract.providers.kit import KITS, Kit
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
    """A sandbox that behaves as the providers do."""
    with sandbox() as started:
        yield started


@pytest.fixture(params=KITS, ids=lambda kit: kit.name)
def kit(request: pytest.FixtureRequest) -> Kit:
    """Each provider."""
    found: Kit = request.param
    return found


@pytest.fixture
async def adapter(kit: Kit, provider: Sandbox) -> AsyncIterator[Provider]:
    """Its adapter, talking to the sandbox."""
    made = kit.adapter(kit.at(provider.url))
    yield made
    await made.close()
