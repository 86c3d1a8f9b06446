"""A whole stack for each test; tests in a row that want the same settings share one."""

import json
from collections.abc import AsyncIterator, Iterator

import pytest

from shared.runtime.redis import Client, connect
from tests.system.stack import UNLIMITED, Running, Stack


class Street:
    """The one stack that runs now."""

    def __init__(self, folders: pytest.TempPathFactory) -> None:
        self._folders = folders
        self._settings: dict[str, str] | None = None
        self._running: Running | None = None

    def with_settings(self, settings: dict[str, str]) -> Running:
        """Return a stack with these settings: the one that runs, or a new one in its place."""
        if self._running is None or settings != self._settings:
            self.clear()
            folder = self._folders.mktemp("run") / "topup"
            self._settings, self._running = settings, Running(folder, settings)
        return self._running

    def clear(self) -> None:
        """Stop what runs."""
        if self._running is not None:
            running, self._running = self._running, None
            running.stop()


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Street]:
    """Where stacks stand, one at a time."""
    street = Street(tmp_path_factory)
    yield street
    street.clear()


@pytest.fixture
async def stack(request: pytest.FixtureRequest, street: Street) -> AsyncIterator[Stack]:
    """`make run`; a test may mark its settings: `@pytest.mark.settings(SANDBOX_LATENCY="2000")`.

    With `fresh=True` it gets one that no other test has used.
    """
    marker = request.node.get_closest_marker("settings")
    settings = dict(marker.kwargs) if marker else {}
    if settings.pop("fresh", False):
        street.clear()
    async with Stack(street.with_settings({**UNLIMITED, **settings})) as stack:
        yield stack


@pytest.fixture
async def redis(stack: Stack) -> AsyncIterator[Client]:
    """The stack's own streams."""
    state = json.loads((stack.folder / "state.json").read_text())
    client = connect(state["environment"]["REDIS_URL"])
    yield client
    await client.aclose()
