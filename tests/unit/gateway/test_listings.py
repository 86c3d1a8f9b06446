"""What a list may be asked, and that a cursor is good for its own filters only."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.cursors import cursor_at, place_at
from services.gateway.merchant.listings import LIMIT_DEFAULT, filter_of, read_filter, read_page
from shared.contracts.errors import InvalidRequest
from shared.contracts.peers import Place, TopupFilter, TopupQuery
from shared.contracts.states import State

EVERYTHING = TopupFilter(customer_id="C")

places = st.builds(Place, st.integers(-(2**40), 2**48), st.uuids().map(str))
filters = st.builds(
    TopupFilter,
    customer_id=st.sampled_from(["C", "D"]),
    status=st.none() | st.sampled_from(State),
    provider=st.none() | st.sampled_from(["LATCOM", "OTHER"]),
    phone=st.none() | st.sampled_from(["+525566374683", "+525566374684"]),
    from_ms=st.none() | st.integers(0, 2),
    to_ms=st.none() | st.integers(0, 2),
)


def read(query: str) -> TopupQuery:
    """Read a query string of customer C."""
    return read_page(query.encode(), customer_id="C")


def test_without_parameters_it_is_the_first_page_of_everything() -> None:
    """Of the key's customer."""
    assert read("") == TopupQuery(customer_id="C", limit=LIMIT_DEFAULT)


def test_all_filters_at_once() -> None:
    """Each is read into the ledger's words."""
    query = "status=processing&provider=LATCOM&phone=5566374683&limit=7"
    query += "&from=2026-11-23T00:00:00Z&to=2026-11-24T00:00:00.0001-06:00"
    assert read(query) == TopupQuery(
        customer_id="C",
        status=State.ACTIVE,
        provider="LATCOM",
        phone="+525566374683",
        from_ms=1_795_392_000_000,
        to_ms=1_795_500_000_001,  # before a moment inside a millisecond: with that millisecond
        limit=7,
    )


@pytest.mark.parametrize("phone", ["5566374683", "+525566374683", "%2B52%205566374683"])
def test_a_phone_is_national_or_e164_and_its_plus_may_be_unescaped(phone: str) -> None:
    """A + in a query string is a space; a merchant means the +."""
    assert read(f"phone={phone}").phone == "+525566374683"


@pytest.mark.parametrize("offset", ["+01:00", "%2B01:00"])
def test_an_offset_may_be_unescaped(offset: str) -> None:
    """As a phone's + may."""
    assert read(f"from=1970-01-01T01:00:00{offset}").from_ms == 0


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("state=failed", "parameter 'state' is not known here"),
        ("Status=failed", "parameter 'Status' is not known"),
        ("status=done", "status 'done' is not one of queued, processing, waiting, succeeded"),
        ("status=", "status '' is not one of"),
        ("status=active", "status 'active' is not one of"),
        ("status=failed&status=queued", "status is given twice"),
        ("provider=latcom", "provider 'latcom' is not one of LATCOM"),
        ("phone=12", "phone is not a valid number of MX"),
        ("phone=%00", "phone is not a valid number"),
        ("from=yesterday", "from 'yesterday' is not a time of RFC 3339"),
        ("from=2026-11-23", "from '2026-11-23' is not a time"),
        ("to=2026-11-23T00:00:00", "to '2026-11-23T00:00:00' is not a time"),
        ("to=2026-02-30T00:00:00Z", "to '2026-02-30T00:00:00Z' is not a time"),
        ("limit=0", "limit '0' is not a whole number from 1 to 100"),
        ("limit=101", "limit '101' is not"),
        ("limit=-1", "limit '-1' is not"),
        ("limit=1e1", "limit '1e1' is not"),
        ("limit=%D9%A1", "limit '\u0661' is not"),
        ("cursor=", "cursor is not one"),
        ("cursor=AAAA", "cursor is not one"),
        ("cursor=%F0%9F%92%A9", "cursor is not one"),
        ("&".join(["limit=1"] * 17), "more than 16 parameters"),
    ],
)
def test_a_wrong_parameter_is_named_with_an_example(query: str, said: str) -> None:
    """So that whoever typed it can mend it."""
    with pytest.raises(InvalidRequest) as refused:
        read(query)
    assert said in str(refused.value)
    assert "for example" in str(refused.value)


@pytest.mark.parametrize("query", ["limit=5", "cursor=x"])
def test_a_file_has_no_pages(query: str) -> None:
    """All rows are in it."""
    with pytest.raises(InvalidRequest, match="is not known here"):
        read_filter(query.encode(), customer_id="C")


@given(st.text() | st.text(alphabet="abcdefglimtuspro=&%+0123456789-:TZ"))
def test_any_query_string_is_read_or_refused(query: str) -> None:
    """Never anything else."""
    try:
        page = read(query)
    except InvalidRequest:
        return
    assert 1 <= page.limit <= 100
    assert page.customer_id == "C"


@given(places, filters)
def test_a_cursor_leads_to_its_place(place: Place, wanted: TopupFilter) -> None:
    """And can stand in an address as it is."""
    cursor = cursor_at(place, wanted)
    assert place_at(cursor, wanted) == place
    assert cursor.isascii()
    assert not set("+/=&?#% ") & set(cursor)


@given(places, filters, filters)
def test_a_cursor_is_good_for_its_filters_only(
    place: Place, wanted: TopupFilter, others: TopupFilter
) -> None:
    """With others it would skip or repeat."""
    if others != wanted:
        with pytest.raises(InvalidRequest, match="next_cursor"):
            place_at(cursor_at(place, wanted), others)


@given(places, st.data())
def test_a_changed_cursor_is_refused(place: Place, data: st.DataObject) -> None:
    """Whichever character was changed, added or lost."""
    cursor = cursor_at(place, EVERYTHING)
    at = data.draw(st.integers(0, len(cursor) - 1))
    put = data.draw(st.text(max_size=2))
    changed = cursor[:at] + put + cursor[at + 1 :]
    if changed != cursor:
        with pytest.raises(InvalidRequest, match="next_cursor"):
            place_at(changed, EVERYTHING)


@given(filters)
def test_the_next_page_has_the_filter_of_this_one(wanted: TopupFilter) -> None:
    """Whatever its limit is."""
    fields = {name: getattr(wanted, name) for name in wanted.__struct_fields__}
    assert filter_of(TopupQuery(**fields, limit=3, after_ms=1, after_id="x")) == wanted
