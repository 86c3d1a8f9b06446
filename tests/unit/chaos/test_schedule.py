"""What goes wrong is drawn from the seed alone, and what is asked for is understood or refused."""

import pytest

from tests.chaos.merchant import sales
from tests.chaos.schedule import KINDS, draw
from tests.chaos.settings import WrongSetting, read


def test_the_same_seed_is_the_same_run() -> None:
    """Whoever has the seed can see it again."""
    first, again, other = (
        draw(seed, length_s=600, each_s=2, kinds=tuple(KINDS)) for seed in (1, 1, 2)
    )
    assert first == again != other
    assert list(sales(1, 100, provider="neither")) == list(sales(1, 100, provider="neither"))


def test_every_kind_of_fault_is_drawn() -> None:
    """A long run leaves none out."""
    drawn = draw(7, length_s=10_000, each_s=2, kinds=tuple(KINDS))
    assert {fault.kind for fault in drawn} == set(KINDS)
    for fault in drawn:
        assert fault.target in KINDS[fault.kind].targets


def test_a_fault_can_be_aimed() -> None:
    """At one target of its kind."""
    (kind,) = read({"FAULTS": "kill:ledger"}).faults
    aimed = draw(1, length_s=100, each_s=1, kinds=[kind])
    assert {(fault.kind, fault.target) for fault in aimed} == {("kill", "ledger")}


@pytest.mark.parametrize(
    ("name", "value", "example"),
    [
        ("SEED", "seven", "SEED=42"),
        ("MINUTES", "0", "MINUTES=3"),
        ("MINUTES", "nan", "MINUTES=3"),
        ("TOPUPS", "-1", "TOPUPS="),
        ("FAULTS", "kill,cut,rain", "FAULTS=kill,cut"),
        ("FAULTS", "kill:provider", "FAULTS=kill,cut"),
        ("PROVIDER", "dedups", "neither"),
        ("EACH", "often", "EACH=4"),
        ("TRICKS", "11", "TRICKS=5"),
        ("LATENCY", "slow", "LATENCY=20-120"),
        ("DEADLINE", "0", "DEADLINE=60"),
    ],
)
def test_a_wrong_setting_is_named(name: str, value: str, example: str) -> None:
    """With an example that would do."""
    with pytest.raises(WrongSetting) as refused:
        read({name: value})
    assert str(refused.value).startswith(name)
    assert example in str(refused.value)
