"""How long a merchant prefers to wait."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.merchant.preferences import WAIT_S_MAX, preferred_wait_s


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("", None),
        ("wait=10", 10),
        ("Wait = 10", 10),
        ('wait="10"', 10),
        ("wait=0", 0),
        ("wait=60", 60),
        ("wait=61", 60),
        ("wait=999999999", 60),
        ("respond-async, wait=10", 10),
        ("wait=10;foo=bar, handling=lenient", 10),
        ("wait=10, wait=20", 10),
        ('foo="a, wait=5", wait=7', 7),
        ("wait", None),
        ("wait=", None),
        ("wait=ten", None),
        ("wait=-1", None),
        ("wait=1.5", None),
        ("wait=1 0", None),
        ('wait="10', None),
        ("wait=9999999999", None),
        ("waiting=10", None),
        ("await=10", None),
        ("x" * 1_000 + ",wait=10", None),
    ],
)
def test_wait_is_read_as_rfc_7240_says(header: str | None, seconds: int | None) -> None:
    """The first that can be read counts; anything else is ignored."""
    assert preferred_wait_s(header) == seconds


@given(st.text() | st.text(alphabet='wait=0123456789,;" \\\t'))
def test_no_header_is_an_error(header: str) -> None:
    """Whatever it holds."""
    assert preferred_wait_s(header) in {None, *range(WAIT_S_MAX + 1)}
