"""A whole stack for each module that asks for one."""

from collections.abc import AsyncIterator

import pytest

from tests.system.stack import UNLIMITED, Stack, run_stack


@pytest.fixture
async def stack(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Stack]:
    """`make run`; a test may mark its settings: `@pytest.mark.settings(SANDBOX_LATENCY="2000")`."""
    marker = request.node.get_closest_marker("settings")
    settings = {**UNLIMITED, **(marker.kwargs if marker else {})}
    folder = tmp_path_factory.mktemp("run") / "topup"
    async with run_stack(folder, settings) as running:
        yield running
