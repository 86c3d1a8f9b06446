"""`topup customers` and `topup keys` as they are typed: what they print, ask and refuse."""

import json
from typing import Any

import pytest

from tests.integration.ledger.typed import Type, ok

pytestmark = pytest.mark.integration

NOBODY_LISTENS = "redis://127.0.0.1:1/0"


@pytest.fixture
def acme(topup: Type) -> str:
    """A customer."""
    ok(topup, "customers", "create", "ACME_001", "--merchant", "acme")
    return "ACME_001"


def draw(topup: Type, *more: str) -> dict[str, Any]:
    """Draw a key for the customer."""
    key: dict[str, Any] = json.loads(ok(topup, "keys", "create", "ACME_001", "--json", *more))
    return key


def everything(topup: Type) -> tuple[str, str]:
    """Return all that the commands tell."""
    return ok(topup, "customers", "list", "--json"), ok(topup, "keys", "list", "--all", "--json")


def test_what_is_taken_away_is_asked_for(topup: Type, acme: str) -> None:
    """Nothing is changed without a yes, and a look costs nothing."""
    key = draw(topup)
    before = everything(topup)
    commands = (
        ("keys", "revoke", key["id"]),
        ("keys", "rotate", key["id"]),
        ("customers", "disable", acme),
    )
    for words in commands:
        refused = topup(*words)
        assert (refused.status, refused.out) == (2, "")
        assert "say --yes to do it, or --dry-run to look" in refused.err
        assert "nothing was changed" in ok(topup, *words, "--dry-run")
        for answer in ("", "n"):
            declined = topup(*words, answer=answer)
            assert (declined.status, declined.out) == (1, "")
            assert "Go on? [y/N]" in declined.err
            assert "nothing was changed" in declined.err
    assert everything(topup) == before
    for words in commands[1:]:
        assert topup(*words, answer="y").status == 0
    (new,) = json.loads(ok(topup, "keys", "list", "--json"))
    assert new["id"] != key["id"]
    assert not new["works"]


def test_a_grace_needs_no_yes(topup: Type, acme: str) -> None:
    """Nothing is taken away yet."""
    key = draw(topup, "--label", "till 3")
    assert "end after 24h key" in ok(
        topup, "keys", "rotate", key["id"], "--grace", "24h", "--dry-run"
    )
    people = ok(topup, "keys", "rotate", key["id"], "--grace", "24h")
    assert "shown this once" in people
    rows = {row["id"]: row for row in json.loads(ok(topup, "keys", "list", acme, "--json"))}
    assert len(rows) == 2
    assert [row["label"] for row in rows.values()] == ["till 3", "till 3"]
    assert rows[key["id"]]["expires_at"] is not None
    assert "ends 20" in ok(topup, "keys", "list", acme)


def test_without_redis_a_new_key_is_shown_all_the_same(
    topup: Type, acme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It exists, and nobody could show it again; the status is 1 and the reason is said."""
    old = draw(topup)
    monkeypatch.setenv("REDIS_URL", NOBODY_LISTENS)
    created = topup("keys", "create", acme, "--json")
    rotated = topup("keys", "rotate", old["id"], "--yes", "--json")
    for done in (created, rotated):
        assert done.status == 1
        assert "it is done, but could not be announced" in done.err
        assert len(done.err.splitlines()) == 1
    assert f"to tell them at once: topup keys revoke {old['id']}" in rotated.err
    ids = {row["id"] for row in json.loads(ok(topup, "keys", "list", "--json"))}
    assert ids == {json.loads(done.out)["id"] for done in (created, rotated)}


WRONG: list[tuple[list[str], str]] = [
    (["customers", "create", "NEW"], "--merchant"),
    (["customers", "create", "a b", "--merchant", "ab"], "for example ACME_001"),
    (["customers", "create", "NEW", "--merchant", "New"], "for example acme"),
    (["customers", "create", "NEW", "--merchant", "admin"], "path of our own"),
    (["customers", "create", "NEW", "--merchant", "new", "--limit", "0"], "1 to 1000000 requests"),
    (["customers", "create", "NEW", "--merchant", "new", "--limit", "1e3"], "'1e3' is not a limit"),
    (["customers", "create", "ACME_001", "--merchant", "wrong"], "customer ACME_001 exists"),
    (["customers", "show", "NOBODY"], "no customer 'NOBODY'"),
    (["customers", "limit", "ACME_001"], "topup customers limit ACME_001 500"),
    (["customers", "limit", "ACME_001", "5", "--default"], "either how many"),
    (["customers", "limit", "ACME_001", "-5"], "'-5' is not a limit"),
    (["customers", "limit", "ACME_001", "²"], "'²' is not a limit"),
    (["customers", "limit", "ACME_001", "9999999"], "1 to 1000000 requests"),
    (["customers", "limit", "ACME_001", "99999999999"], "is not a limit"),
    (["customers", "limit", "NOBODY", "5"], "no customer 'NOBODY'"),
    (["customers", "disable", "NOBODY", "--yes"], "no customer 'NOBODY'"),
    (["customers", "enable", "NOBODY"], "no customer 'NOBODY'"),
    (["customers", "remove", "ACME_001"], "Available commands"),
    (["keys", "create"], "CUSTOMER"),
    (["keys", "create", "NOBODY"], "no customer 'NOBODY'"),
    (["keys", "create", "ACME_001", "--scope", "pay"], "only topup:write and topup:read"),
    (["keys", "create", "ACME_001", "--label", "a\nb"], "cannot be printed"),
    (["keys", "list", "NOBODY"], "no customer 'NOBODY'"),
    (["keys", "revoke"], "KEY"),
    (["keys", "revoke", "first", "--yes"], "for example 3fa9c2d1e0b7"),
    (["keys", "revoke", "00000000", "--yes"], "no key 00000000"),
    (["keys", "revoke", "topup_AbC123", "--yes"], "is how a key begins"),
    (["keys", "rotate", "00000000", "--yes"], "no key 00000000"),
    (["keys", "rotate", "00000000", "--grace", "soon"], "for example --grace 24h"),
    (["keys", "rotate", "00000000", "--grace", "0s"], "between 1s and 365d"),
    (["keys", "rotate", "00000000", "--grace", "400d"], "between 1s and 365d"),
]


def test_wrong_words_change_nothing(topup: Type, acme: str, subtests: pytest.Subtests) -> None:
    """One line each that says what would do, status 2, and everything is as before."""
    key = draw(topup)
    before = everything(topup)
    for words, says in WRONG:
        with subtests.test(msg=" ".join(words)):
            done = topup(*words)
            assert (done.status, done.out) == (2, "")
            assert says in done.err
            assert len(done.err.splitlines()) == 1
    pasted = topup("keys", "revoke", key["key"], "--yes")
    assert pasted.status == 2
    assert key["id"] in pasted.err
    assert key["key"] not in pasted.err
    assert everything(topup) == before


def test_an_ended_key_is_not_rotated(topup: Type, acme: str) -> None:
    """Not even a look says that it would be."""
    key = draw(topup)
    ok(topup, "keys", "revoke", key["id"], "--yes")
    assert "revoked 20" in ok(topup, "keys", "revoke", key["id"], "--dry-run")
    for more in ("--yes", "--dry-run"):
        done = topup("keys", "rotate", key["id"], more)
        assert (done.status, done.out) == (2, "")
        assert "was revoked or replaced already, with its end at 20" in done.err
        assert f"topup keys list {acme} --all" in done.err


def test_tables_are_for_people(topup: Type, acme: str) -> None:
    """What a key or a customer is, in a line."""
    assert "topup keys create ACME_001" in ok(topup, "keys", "list", acme)
    assert "topup keys create ACME_001" in ok(topup, "customers", "show", acme)
    key = draw(topup, "--label", "[red]")
    shown = ok(topup, "customers", "show", acme)
    for word in (acme, "acme", "default", "enabled", key["id"], "[red]", "topup:write"):
        assert word in shown
    ok(topup, "customers", "limit", acme, "500")
    ok(topup, "customers", "disable", acme, "--yes")
    row = next(row for row in ok(topup, "customers", "list").splitlines() if acme in row)
    assert row.split()[:5] == [acme, "acme", "500", "disabled", "1"]
    assert "customer disabled" in ok(topup, "keys", "list")
    assert "1 keys work" in ok(topup, "customers", "enable", acme)


def test_before_the_first_customer(topup: Type) -> None:
    """It says how to begin."""
    assert "topup customers create ACME_001" in ok(topup, "customers", "list")
    assert json.loads(ok(topup, "customers", "list", "--json")) == []
    made = json.loads(
        ok(topup, "customers", "create", "A", "--merchant", "a", "--limit", "5", "--json")
    )
    assert (made["customer_id"], made["merchant"], made["limit_per_minute"]) == ("A", "a", 5)


def test_a_database_that_was_not_migrated_is_told(
    topup: Type, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what to do."""
    monkeypatch.setenv("DATABASE_URL", postgres_url)
    done = topup("customers", "list")
    assert (done.status, done.out) == (1, "")
    assert "topup migrate" in done.err
