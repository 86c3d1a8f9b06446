"""What may name a customer, its path and its keys, and what is said of the rest."""

import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ledger import names
from shared.contracts.errors import InvalidRequest
from shared.contracts.keys import READ, WRITE


@pytest.mark.parametrize("good", ["A", "ENVIADESPENSA_001", "acme.mx-2", "7", "A" * 64])
def test_a_customer_id_is_taken(good: str) -> None:
    """It can stand in a header, a log line and a command line."""
    names.check_customer_id(good)


@pytest.mark.parametrize("bad", ["", " ", "-A", "_A", "a b", "a\n", "A" * 65, "é", "a/b", "\udcff"])
def test_a_customer_id_is_refused(bad: str) -> None:
    """With an example that would do."""
    with pytest.raises(InvalidRequest, match="for example ACME_001"):
        names.check_customer_id(bad)


@pytest.mark.parametrize("good", ["a", "acme", "acme-mx", "7eleven", "a" * 63])
def test_a_merchant_is_taken(good: str) -> None:
    """It can be a part of a URL as it is."""
    names.check_merchant(good)


@pytest.mark.parametrize("bad", ["", "Acme", "-a", "a-", "a_b", "a/b", "a.b", "..", "a" * 64, "é"])
def test_a_merchant_is_refused(bad: str) -> None:
    """With an example that would do."""
    with pytest.raises(InvalidRequest, match="for example acme"):
        names.check_merchant(bad)


def test_the_path_of_the_admin_api_is_no_merchant() -> None:
    """Nobody sells under our own paths."""
    with pytest.raises(InvalidRequest, match="path of our own"):
        names.check_merchant("admin")


@given(st.text())
def test_whatever_is_taken_needs_no_quoting(text: str) -> None:
    """No name changes the meaning of a URL, a header or a shell's line."""
    for check in (names.check_customer_id, names.check_merchant):
        refusal = refused(check, text)
        assert ("for example" in refusal and refusal.isprintable()) or re.fullmatch(
            r"[\w.-]+", text, re.ASCII
        )


def refused(check: Callable[[str], None], text: str) -> str:
    """Return what is said against the text; nothing when it is taken."""
    try:
        check(text)
    except InvalidRequest as refusal:
        return str(refusal)
    return ""


@pytest.mark.parametrize("limit", [None, 1, 1_000_000])
def test_a_limit_is_taken(limit: int | None) -> None:
    """None is the gateways' default."""
    names.check_limit(limit)


@pytest.mark.parametrize("limit", [0, -1, 1_000_001])
def test_a_limit_is_refused(limit: int) -> None:
    """Who may do nothing at all is disabled instead."""
    with pytest.raises(InvalidRequest, match="between 1 and 1000000"):
        names.check_limit(limit)


def test_an_unknown_scope_is_answered_with_the_known_ones() -> None:
    """And so is none at all."""
    names.check_scopes([READ, WRITE])
    for scopes in ([], ["topup:pay"], [READ, "READ"]):
        with pytest.raises(InvalidRequest, match="only topup:write and topup:read"):
            names.check_scopes(scopes)


@pytest.mark.parametrize("label", ["", "web shop", "tienda número 2", "x" * 64])
def test_a_label_is_taken(label: str) -> None:
    """Any language."""
    names.check_label(label)


@pytest.mark.parametrize("label", ["a\nb", "\x1b[31mred", "x" * 65, "\udcff"])
def test_a_label_is_refused(label: str) -> None:
    """What it would do to a terminal is not tried."""
    with pytest.raises(InvalidRequest, match="printable") as refused:
        names.check_label(label)
    assert str(refused.value).isprintable()


@pytest.mark.parametrize("key_id", ["", "3fa9", "3FA9C2D1", "xyzxyzxy", "a" * 65])
def test_a_key_id_is_refused(key_id: str) -> None:
    """Too little to mean one key, or nothing that a hash begins with."""
    with pytest.raises(InvalidRequest, match="3fa9c2d1e0b7"):
        names.check_key_id(key_id)
