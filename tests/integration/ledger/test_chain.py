"""The audit: each act once, one behind the other, and whoever tampers with it is found."""

import asyncio

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ledger.chain import GENESIS, Chain, Head, append, hash_of_row, read_act
from services.ledger.database import Database
from services.ledger.entries import Unreadable
from shared.contracts.acts import Act, act_done
from shared.contracts.peers import AuditQuery
from tests.integration.ledger.conftest import fresh, opened

pytestmark = pytest.mark.integration

TAMPERED = {
    "changed": "UPDATE audit SET who = 'nobody' WHERE seq = 2",
    "changed before": "UPDATE audit SET before = '7' WHERE seq = 2",
    "moment changed": "UPDATE audit SET at = at + interval '1 ms' WHERE seq = 2",
    "first missing": "DELETE FROM audit WHERE seq = 1",
    "middle missing": "DELETE FROM audit WHERE seq = 2",
    "missing and closed up": """DELETE FROM audit WHERE seq = 2;
        UPDATE audit SET seq = 2 WHERE seq = 3""",
    "inserted": """UPDATE audit SET seq = 4 WHERE seq = 3;
        INSERT INTO audit SELECT 3, gen_random_uuid(), at, who, act, target, why, before, after,
                                 hash, sha256(hash) FROM audit WHERE seq = 2""",
    "appended": """INSERT INTO audit SELECT 4, gen_random_uuid(), at, who, act, target, why, before,
                                 after, hash, sha256(hash) FROM audit WHERE seq = 3""",
    "swapped": """UPDATE audit SET seq = 9 WHERE seq = 2; UPDATE audit SET seq = 2 WHERE seq = 3;
        UPDATE audit SET seq = 3 WHERE seq = 9""",
}


def act(number: int) -> Act:
    """Return some act."""
    return act_done(
        "ana",
        "lane.hold",
        f"LANE{number}",
        at_ms=1_795_000_000_000 + number,
        why="strike",
        before={"n": number},
        after={"ü": [1, 2.5, None]},
    )


@pytest.fixture
def chain(database: Database) -> Chain:
    """The audit, with the rights that a ledger has."""
    return Chain(database)


@pytest.fixture
async def three(chain: Chain) -> Head:
    """A chain of three acts; the head of it."""
    await chain.book([act(1), act(2)])
    await chain.book([act(3)])
    return (await chain.verify()).head


async def tamper(url: str, statement: str) -> None:
    """Do as a superuser what nobody may, with the triggers off."""
    async with await psycopg.AsyncConnection.connect(url) as connection:
        await connection.execute("ALTER TABLE audit DISABLE TRIGGER ALL")
        for one in statement.split(";"):
            await connection.execute(one.encode())
        await connection.execute("ALTER TABLE audit ENABLE TRIGGER ALL")


async def test_an_act_is_appended_once(chain: Chain) -> None:
    """However often, in whatever company it comes."""
    first, second = act(1), act(2)
    assert await chain.book([first, first]) == 1
    assert await chain.book([second, first]) == 1
    assert await chain.book([first]) == 0
    verdict = await chain.verify()
    assert (verdict.broken, verdict.head.seq) == (None, 2)
    page = await chain.page(AuditQuery())
    assert [row.target for row in page.rows] == ["LANE2", "LANE1"]
    assert page.rows[1].before == {"n": 1}
    assert page.rows[1].at_ms == first.at_ms


async def test_many_append_at_once(chain: Chain) -> None:
    """Each act has its place behind another one; none is lost, no two follow the same."""
    acts = [act(number) for number in range(40)]
    await asyncio.gather(*(chain.book(acts[at : at + 10]) for at in range(0, 40, 5)))
    verdict = await chain.verify()
    assert (verdict.broken, verdict.head.seq) == (None, 40)


async def test_a_whole_chain_is_whole(chain: Chain, three: Head) -> None:
    """With its own head, an earlier one, and where nothing is yet."""
    page = await chain.page(AuditQuery())
    second = Head(2, bytes.fromhex(page.rows[1].hash))
    for noted in (None, three, second, Head()):
        assert (await chain.verify(noted=noted)).broken is None


@pytest.mark.parametrize("how", TAMPERED)
async def test_whoever_tampers_is_found(
    chain: Chain, three: Head, ledger_url: str, how: str
) -> None:
    """By a superuser, with the triggers off: a row changed, missing, or put in between."""
    await tamper(ledger_url, TAMPERED[how])
    assert (await chain.verify()).broken


async def test_what_was_cut_off_is_found_by_whoever_noted_the_head(
    chain: Chain, three: Head, ledger_url: str
) -> None:
    """The rest is a whole chain, only not the one that it was."""
    await tamper(ledger_url, "DELETE FROM audit WHERE seq = 3")
    assert (await chain.verify()).broken is None
    assert str(three) in str((await chain.verify(noted=three)).broken)


async def test_a_page_goes_on_where_the_last_one_ended(chain: Chain, three: Head) -> None:
    """And can be asked for one target, person or kind."""
    first = await chain.page(AuditQuery(limit=2))
    assert ([row.seq for row in first.rows], first.next) == ([3, 2], 2)
    rest = await chain.page(AuditQuery(limit=2, before=first.next or 0))
    assert ([row.seq for row in rest.rows], rest.next) == ([1], None)
    assert [row.seq for row in (await chain.page(AuditQuery(target="LANE2"))).rows] == [2]
    assert len((await chain.page(AuditQuery(who="ana", act="lane.hold"))).rows) == 3
    assert (await chain.page(AuditQuery(who="ben"))).rows == []


@pytest.mark.parametrize(
    "change", ["UPDATE audit SET who = who", "DELETE FROM audit", "TRUNCATE audit"]
)
@pytest.mark.parametrize("whose", ["ledger_url", "service_url"])
async def test_nobody_can_change_the_audit(
    change: str, whose: str, three: Head, request: pytest.FixtureRequest
) -> None:
    """Postgres refuses the ledger's role and the owner, with replication's back door open."""
    url = request.getfixturevalue(whose)
    async with await psycopg.AsyncConnection.connect(url) as connection:
        if whose == "ledger_url":
            await connection.execute("SET session_replication_role = replica")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            await connection.execute(change.encode())


async def test_what_the_ledger_did_not_finish_is_not_there(
    database: Database, chain: Chain
) -> None:
    """An act stands or falls with the transaction that did it."""
    async with database.connection() as connection, connection.transaction(force_rollback=True):
        await append(connection, [act(1)])
    assert (await chain.verify()).head == Head()


FIELDS = {
    "id": b"0195f000-0000-7000-8000-000000000001", "at": b"1795000000000", "who": b"ana",
    "act": b"lane.hold", "target": b"LATCOM", "why": b"strike", "before": b"null", "after": b"{}",
}  # fmt: skip


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize("value", [None, b"\xff", b"{"])
def test_an_entry_that_is_no_act_is_unreadable(name: str, value: bytes | None) -> None:
    """A field is missing or broken: it goes to people, and never into the chain."""
    fields = {key: one for key, one in FIELDS.items() if key != name}
    if value is not None:
        fields[name] = value
    if value == b"{" and name in {"who", "act", "target", "why"}:
        assert getattr(read_act(fields), name) == "{"
        return
    with pytest.raises(Unreadable, match=name):
        read_act(fields)


@given(seq=st.integers(1, 2**40), one=st.text(), other=st.text())
def test_no_two_contents_have_the_same_hash(seq: int, one: str, other: str) -> None:
    """Neither another text nor the same text in another field."""
    kept = Act(id="i", who=one, why=other, at_ms=1, act="a", target="t")
    moved = Act(id="i", who=one + other, why="", at_ms=1, act="a", target="t")
    same = hash_of_row(GENESIS, seq, kept) == hash_of_row(GENESIS, seq, moved)
    assert same == (kept == moved)
    assert hash_of_row(GENESIS, seq, kept) != hash_of_row(GENESIS, seq + 1, kept)


async def test_the_books_of_another_database_have_another_chain(
    three: Head, postgres_url: str, template: str
) -> None:
    """A head noted here is not in a chain that was made elsewhere."""
    with fresh(postgres_url, template) as url:
        async with opened(url) as database:
            other = Chain(database)
            await other.book([act(1), act(2), act(3)])
            assert (await other.verify(noted=three)).broken
