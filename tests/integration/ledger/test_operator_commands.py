"""`topup operators` and `topup audit` as they are typed: what they print, ask and refuse."""

import json
import re

import psycopg
import pytest

from shared.contracts.keys import OPERATOR_PREFIX, hash_of
from tests.integration.ledger.typed import Type, ok

pytestmark = pytest.mark.integration

HEAD = re.compile(r"✓ (\d+) acts follow one another; the last is (\d+:[0-9a-f]{64})\n")


def drawn(topup: Type, name: str) -> str:
    """Let a person in; return the key."""
    return str(json.loads(ok(topup, "operators", "add", name, "--json"))["key"])


def test_an_operators_key_is_shown_once(topup: Type, ledger_url: str) -> None:
    """It is kept as a hash; one of a name at a time; a new one may be drawn after the old ended."""
    key = drawn(topup, "ana")
    assert key.startswith(OPERATOR_PREFIX)
    with psycopg.connect(ledger_url) as connection:
        kept = connection.execute("SELECT sha256, operators::text FROM operators").fetchall()
    assert [row[0] for row in kept] == [hash_of(key)]
    assert key not in kept[0][1]
    twice = topup("operators", "add", "ana")
    assert (twice.status, twice.out) == (2, "")
    assert "topup operators revoke ana" in twice.err
    assert "works" in ok(topup, "operators", "list")
    ok(topup, "operators", "revoke", "ana", "--yes")
    assert "no operators yet" in ok(topup, "operators", "list")
    assert "revoked 2" in ok(topup, "operators", "list", "--all")
    assert "already" in ok(topup, "operators", "revoke", "ana", "--yes")
    assert drawn(topup, "ana") != key


@pytest.mark.parametrize(
    "name", ["admin", "ledger", "Ana", "ana maria", "1st", "a" * 33, "cli:root"]
)
@pytest.mark.parametrize("command", ["add", "revoke"])
def test_not_everything_is_a_name(topup: Type, command: str, name: str) -> None:
    """One line with an example, status 2, nothing done."""
    done = topup("operators", command, name, *(["--yes"] if command == "revoke" else []))
    assert (done.status, done.out) == (2, "")
    assert "for example ana" in done.err


def test_nobody_is_revoked_unasked(topup: Type) -> None:
    """Looked at first, or confirmed; and somebody who is there."""
    drawn(topup, "ana")
    assert "nothing was changed" in ok(topup, "operators", "revoke", "ana", "--dry-run")
    assert topup("operators", "revoke", "ana", answer="n").status == 1
    assert "works" in ok(topup, "operators", "list")
    done = topup("operators", "revoke", "ben", "--yes")
    assert (done.status, done.err) == (
        2, "topup: there is no operator ben; see: topup operators list\n"
    )  # fmt: skip


def test_what_is_done_on_the_command_line_is_in_the_audit(topup: Type, ledger_url: str) -> None:
    """Customers, keys and operators, in the order in which it was done, by who typed it."""
    ok(topup, "customers", "create", "ACME_001", "--merchant", "acme")
    ok(topup, "customers", "limit", "ACME_001", "500")
    key = json.loads(ok(topup, "keys", "create", "ACME_001", "--json"))
    ok(topup, "keys", "revoke", key["id"], "--yes")
    ok(topup, "customers", "disable", "ACME_001", "--yes")
    ok(topup, "customers", "enable", "ACME_001")
    drawn(topup, "ana")
    with psycopg.connect(ledger_url) as connection:
        found = connection.execute(
            "SELECT act, target, who, before, after FROM audit ORDER BY seq"
        ).fetchall()
    assert [row[:2] for row in found] == [
        ("customer.create", "ACME_001"),
        ("customer.limit", "ACME_001"),
        ("key.create", "ACME_001"),
        ("key.revoke", "ACME_001"),
        ("customer.disable", "ACME_001"),
        ("customer.enable", "ACME_001"),
        ("operator.add", "ana"),
    ]
    assert all(row[2].startswith("cli:") for row in found)
    assert (found[1][3]["limit_per_minute"], found[1][4]["limit_per_minute"]) == (None, 500)
    assert key["key"] not in str(found)


def test_verify_tells_a_whole_chain_from_a_broken_one(topup: Type, ledger_url: str) -> None:
    """Status 0 with the head, which can be noted and asked for; 1 once somebody has tampered."""
    drawn(topup, "ana")
    drawn(topup, "ben")
    told = HEAD.fullmatch(ok(topup, "audit", "verify"))
    assert told is not None
    assert told[1] == "2"
    drawn(topup, "eva")
    ok(topup, "audit", "verify", "--noted", told[2])
    with psycopg.connect(ledger_url) as connection:
        connection.execute("ALTER TABLE audit DISABLE TRIGGER ALL")
        connection.execute("UPDATE audit SET who = 'nobody' WHERE seq = 2")
    broken = topup("audit", "verify")
    assert broken.status == 1
    assert "row 2 (operator.add by nobody) is not what was written; whole up to 1:" in broken.out


@pytest.mark.parametrize("noted", ["1", "x:y", "1:abc"])
def test_a_head_that_nobody_printed_is_refused(topup: Type, noted: str) -> None:
    """One line, status 2."""
    done = topup("audit", "verify", "--noted", noted)
    assert done.status == 2
    assert "for example --noted 12:" in done.err


def test_without_a_gateway_there_is_no_list(topup: Type, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not known where: what to set. Known, and nobody there: that it did not answer."""
    unknown = topup("audit", "list")
    assert unknown.status == 1
    assert "is not known and nothing runs here" in unknown.err
    monkeypatch.setenv("TOPUP_URL", "http://127.0.0.1:1")
    assert "admin key is not known" in topup("audit", "list").err
    monkeypatch.setenv("TOPUP_ADMIN_KEY", "secret-of-ana")
    silent = topup("audit", "list")
    assert (silent.status, silent.out) == (1, "")
    assert "no gateway answers" in silent.err
    assert "secret-of-ana" not in silent.err
