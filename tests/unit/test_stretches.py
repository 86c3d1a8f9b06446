"""What an operator types as a time means one thing, and what means nothing is refused."""

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.commands.stretches import stretch_between
from ops.errors import CommandFailed
from shared.bus.ranges import Stretch

ZONE = "America/Mexico_City"
END = 2**64 - 1


@pytest.mark.parametrize(
    ("since", "until", "meant"),
    [
        (None, None, Stretch("-", "+")),
        ("1795000000000-3", "1795000000001-0", Stretch("1795000000000-3", "1795000000001-0")),
        ("1795000000000", "1795000000000", Stretch("1795000000000-0", f"1795000000000-{END}")),
        ("2026-11-23", None, Stretch("1795413600000-0", "+")),
        ("2026-11-23T00:00:00-06:00", None, Stretch("1795413600000-0", "+")),
        ("2026-11-23T06:00:00Z", None, Stretch("1795413600000-0", "+")),
        ("2026-11-23T06:00:00.0001Z", None, Stretch("1795413600001-0", "+")),
        (None, "2026-11-23", Stretch("-", f"1795413599999-{END}")),
        ("2026-11-23", "2026-11-24", Stretch("1795413600000-0", f"1795499999999-{END}")),
    ],
)
def test_times_days_and_entries(since: str | None, until: str | None, meant: Stretch) -> None:
    """A day begins in the time zone; the end of a time or day is not in it, that of entries is."""
    assert stretch_between(since, until, timezone=ZONE) == meant


@pytest.mark.parametrize(
    "text",
    ["", "yesterday", "2026-11-23T10:00:00", "2026-02-30", "23.11.2026", "-1", "1-2-3", "1e9",
     "1969-01-01", "0001-01-01T00:00:00+14:00", "9" * 16, "1795000000000-" + "9" * 20,
     "2026-11", "2026"],
)  # fmt: skip
@pytest.mark.parametrize("option", ["--from", "--to"])
def test_what_is_no_time_is_refused_with_examples(option: str, text: str) -> None:
    """Also a time without its offset: nobody could say when that was."""
    ends = (text, None) if option == "--from" else (None, text)
    with pytest.raises(CommandFailed, match=f"{option} .* for example: {option} ") as refusal:
        stretch_between(*ends, timezone=ZONE)
    assert refusal.value.status == 2


@pytest.mark.parametrize(
    ("since", "until"),
    [
        ("2026-11-24", "2026-11-23"),
        ("2026-11-23", "2026-11-23"),
        ("1795000000000-1", "1795000000000-0"),
        ("1795000000001", "1795000000000"),
    ],
)
def test_ends_with_nothing_between_are_refused(since: str, until: str) -> None:
    """Rather mistyped than meant."""
    with pytest.raises(CommandFailed, match="is not before") as refusal:
        stretch_between(since, until, timezone=ZONE)
    assert refusal.value.status == 2


@given(
    moments=st.lists(
        st.datetimes(min_value=dt.datetime(1971, 1, 1), timezones=st.just(dt.UTC)),  # noqa: DTZ001
        min_size=3,
        max_size=3,
    ).map(sorted)
)
def test_two_stretches_side_by_side_share_nothing_and_leave_nothing_out(
    moments: list[dt.datetime],
) -> None:
    """An entry between A and C is either between A and B, or between B and C."""
    a, b, c = (moment.isoformat() for moment in moments)
    if len({moment.timestamp() * 1_000 // 1 for moment in moments}) < 3:
        return
    first, second = stretch_between(a, b, timezone=ZONE), stretch_between(b, c, timezone=ZONE)
    both = stretch_between(a, c, timezone=ZONE)
    for entry in (first.first, first.last, second.first, second.last):
        assert both.holds(entry)
        assert first.holds(entry) != second.holds(entry)
