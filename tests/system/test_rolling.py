"""Two versions at once: the short form of `make rolling`, forwards alone."""

from pathlib import Path

import pytest

from tests.rolling.__main__ import measure
from tests.rolling.earlier import commit_named, unpack

pytestmark = [pytest.mark.system, pytest.mark.long]


async def test_nobody_notices_that_every_replica_is_replaced(tmp_path: Path) -> None:
    """By the present version, one by one; a clone without the history is told so."""
    unpack(commit_named(), tmp_path / "earlier")
    assert await measure(tmp_path / "run", tmp_path / "earlier", per_s=20, turns=1)
