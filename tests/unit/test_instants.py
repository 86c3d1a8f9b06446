"""Instants are written as RFC 3339 says, and read back to the same millisecond."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from shared.contracts.instants import next_ms, timestamp

FIRST = datetime(1, 1, 3)  # noqa: DTZ001 - hypothesis adds the zone
LAST = datetime(9999, 12, 29)  # noqa: DTZ001 - hypothesis adds the zone


@given(st.integers(-(2**45), 2**47))
def test_a_timestamp_is_its_millisecond(at_ms: int) -> None:
    """Before 1970 too."""
    written = timestamp(at_ms)
    assert len(written) == len("2026-11-23T22:00:00.123Z")
    assert datetime.fromisoformat(written) == datetime(1970, 1, 1, tzinfo=UTC) + timedelta(
        milliseconds=at_ms
    )


@given(st.datetimes(FIRST, LAST, timezones=st.timezones()))
def test_the_next_millisecond_is_not_before_the_moment(moment: datetime) -> None:
    """And less than one after it: `from` and `to` cut between whole milliseconds."""
    after = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=next_ms(moment))
    assert timedelta() <= after - moment < timedelta(milliseconds=1)
