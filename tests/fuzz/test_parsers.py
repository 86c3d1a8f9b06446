"""Parsers of bytes from outside raise what they document, whatever they are given."""

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

import pytest

from tests.fuzz.budget import EACH_S, SEED
from tests.fuzz.mutation import mutants, within
from tests.fuzz.targets import TARGETS

pytestmark = pytest.mark.fuzz

HANG_S = 20


class Hung(BaseException):
    """One input has taken longer than any may."""


@contextlib.contextmanager
def bounded() -> Iterator[None]:
    """Break off what would never end."""

    def give_up(_number: int, _frame: FrameType | None) -> None:
        raise Hung

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(HANG_S)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("name", TARGETS)
def test_only_documented_errors_come_out(name: str) -> None:
    """And the samples themselves are understood."""
    target = TARGETS[name]
    for sample in target.samples:
        target.parse(sample)
    for data in within(EACH_S, mutants(target.samples, name=name)):
        try:
            with bounded(), contextlib.suppress(*target.errors):
                target.parse(data)
        except BaseException as problem:
            problem.add_note(f"seed {SEED}, {name}, given {data[:2_000]!r}")
            raise
