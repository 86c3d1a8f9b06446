"""Which crashes are made: all of them, a part that is named, or a sample that a seed draws."""

import pytest

from shared.runtime.crashpoints import POINTS
from tests.chaos.crashes import wanted
from tests.chaos.settings import WrongSetting


def test_all_of_them_is_every_point_at_every_provider_three_times() -> None:
    """Nothing is left out where nothing is chosen."""
    assert len(wanted({})) == len(POINTS) * 3 * 3
    assert {case.point for case in wanted({"TIMES": "first"})} == set(POINTS)
    assert {case.point for case in wanted({"POINTS": POINTS[0]})} == {POINTS[0]}


def test_a_sample_is_the_same_for_the_same_seed() -> None:
    """Of one kind of provider, so that one house is enough; another commit draws others."""
    sample = wanted({"CASES": "6", "SEED": "ec475ab0"})
    assert sample == wanted({"CASES": "6", "SEED": "ec475ab0"})
    assert sample != wanted({"CASES": "6", "SEED": "276062d0"})
    assert len(set(sample)) == 6
    assert len({case.provider for case in sample}) == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PROVIDERS", "dedups"),
        ("TIMES", "third"),
        ("POINTS", "ledger"),
        ("CASES", "few"),
        ("SEED", "xyz"),
    ],
)
def test_what_is_not_known_is_named(name: str, value: str) -> None:
    """With what would do."""
    with pytest.raises(WrongSetting, match=f"{name}.*{value}.*for example {name}="):
        wanted({"CASES": "6", name: value})
