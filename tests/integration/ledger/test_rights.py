"""The database itself refuses to change what is booked: to the ledger, and to the owner."""

import asyncio
from collections.abc import Iterator

import psycopg
import pytest

from services.ledger.books import Books
from services.ledger.logins import LEDGER_ROLE
from shared.contracts.states import State
from tests.integration.ledger.conftest import fresh, opened
from tests.integration.ledger.entries import outcome, request

pytestmark = pytest.mark.integration

BOOKS = ["topups", "outcomes", "postings", "set_aside"]
REQUESTED = [
    "topup_id", "customer_id", "phone", "country", "amount_minor", "currency", "product",
    "reference", "metadata", "accepted_at", "digest", "route",
]  # fmt: skip
SETTLED = ["provider", "provider_reference", "reason", "seq", "settled_at", "status"]


@pytest.fixture(scope="module")
def ledger_url(postgres_url: str, template: str) -> Iterator[str]:
    """Books with a row in each table; all that is tried here is refused."""
    with fresh(postgres_url, template) as url:
        asyncio.run(_book(url))
        yield url


async def refused(url: str, statement: str, *, before: str = "SELECT") -> str:
    """Return what the database says when it refuses."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute(before.encode())
        with pytest.raises(psycopg.errors.InsufficientPrivilege) as refusal:
            await connection.execute(statement.encode())
    return str(refusal.value)


@pytest.mark.parametrize("table", BOOKS)
@pytest.mark.parametrize(
    "change", ["UPDATE {} SET topup_id = topup_id", "DELETE FROM {}", "TRUNCATE {}"]
)
async def test_the_owner_cannot_change_what_is_booked(
    ledger_url: str, table: str, change: str
) -> None:
    """Not even with replication's back door open."""
    async with await psycopg.AsyncConnection.connect(ledger_url) as connection:
        await connection.execute("SET session_replication_role = replica")
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"):
            await connection.execute(change.format(table).encode())


@pytest.mark.parametrize("column", REQUESTED)
async def test_what_was_asked_for_stays(ledger_url: str, service_url: str, column: str) -> None:
    """Of a topup's row only what its next outcome says can change, for anybody."""
    change = f"UPDATE topups SET {column} = {column}"
    assert "append-only" in await refused(ledger_url, change)
    assert "permission denied" in await refused(service_url, change)


async def test_whom_the_merchant_chose_stays(ledger_url: str, service_url: str) -> None:
    """Only a topup of AUTO takes the provider that its outcome names."""
    for url in (ledger_url, service_url):
        assert "append-only" in await refused(url, "UPDATE topups SET provider = 'OTHER', seq = 9")


async def test_a_topup_never_goes_back(ledger_url: str, service_url: str) -> None:
    """Its row takes an outcome that is later than its own, or none."""
    for url in (ledger_url, service_url):
        assert "append-only" in await refused(url, "UPDATE topups SET status = 'queued', seq = 0")
        assert "append-only" in await refused(url, "UPDATE topups SET reason = 'why not'")
    back_door = "SET session_replication_role = replica"
    assert "append-only" in await refused(ledger_url, "UPDATE topups SET seq = 0", before=back_door)


@pytest.mark.parametrize("table", [*BOOKS, "totals"])
@pytest.mark.parametrize(
    "act",
    [
        "UPDATE {0} SET {1} = {1}",
        "DELETE FROM {0}",
        "TRUNCATE {0}",
        "DROP TABLE {0}",
        "ALTER TABLE {0} DISABLE TRIGGER ALL",
        "ALTER TABLE {0} ADD COLUMN more text",
        "CREATE RULE forget AS ON INSERT TO {0} DO INSTEAD NOTHING",
        "COPY {0} TO PROGRAM 'true'",
        "COPY {0} FROM '/dev/null'",
        "CREATE TRIGGER twice AFTER INSERT ON {0} EXECUTE FUNCTION refuse_change()",
    ],
)
async def test_the_ledger_can_only_add(service_url: str, table: str, act: str) -> None:
    """Its role owns nothing: it cannot change, empty, drop, redefine or go around a table."""
    column = "kind" if table == "totals" else "topup_id"
    said = await refused(service_url, act.format(table, column))
    assert "permission denied" in said or "must be owner" in said


@pytest.mark.parametrize(
    "act",
    [
        "SET session_replication_role = replica",
        "CREATE TABLE public.mine ()",
        "CREATE OR REPLACE FUNCTION public.refuse_change() RETURNS trigger LANGUAGE sql AS ''",
        "DROP FUNCTION refuse_change()",
        "DROP TRIGGER append_only ON postings",
        "DROP SCHEMA public CASCADE",
        "CREATE ROLE another",
        "SET ROLE pg_write_all_data",
        "UPDATE migrations SET sha256 = ''",
        "DELETE FROM customers",
        "DELETE FROM api_keys",
        "INSERT INTO api_keys (sha256, prefix, customer_id) VALUES (repeat('0', 64), '', 'A')",
        "UPDATE api_keys SET revoked_at = NULL",
        "UPDATE customers SET disabled = false",
        """INSERT INTO postings SELECT topup_id, 0, 1, 'a', 'b', 'MXN', 1 FROM topups
           ON CONFLICT (topup_id, seq, line) DO UPDATE SET amount_minor = 9""",
        """MERGE INTO outcomes USING topups ON outcomes.topup_id = topups.topup_id
           WHEN MATCHED THEN DELETE""",
        "SELECT FROM outcomes FOR UPDATE",
    ],
)
async def test_the_ledger_has_no_back_door(service_url: str, act: str) -> None:
    """What would undo the refusals is refused as well."""
    assert await refused(service_url, act)


async def test_a_copy_cannot_overwrite(service_url: str) -> None:
    """COPY adds rows as INSERT does, and stops at a place that is taken."""
    async with await psycopg.AsyncConnection.connect(service_url) as connection:
        with pytest.raises(psycopg.errors.UniqueViolation):
            async with connection.cursor().copy("COPY postings FROM STDIN") as copy:
                await copy.write_row(
                    ("0195f000-0000-7000-8000-000000000001", 0, 1, "a", "b", "MXN", 9)
                )


async def test_the_ledger_has_exactly_these_rights(ledger_url: str) -> None:
    """A new table or column gets its rights in its own migration, and a line here."""
    async with await psycopg.AsyncConnection.connect(ledger_url) as connection:
        found = await connection.execute(
            """SELECT relname, string_agg(privilege_type, ' ' ORDER BY privilege_type)
               FROM pg_class, aclexplode(relacl)
               WHERE grantee = %(role)s::regrole GROUP BY relname""",
            {"role": LEDGER_ROLE},
        )
        tables: dict[str, str] = dict(await found.fetchall())
        found = await connection.execute(
            """SELECT relname, array_agg(attname::text ORDER BY attname)
               FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid, aclexplode(attacl)
               WHERE grantee = %(role)s::regrole AND privilege_type = 'UPDATE' GROUP BY relname""",
            {"role": LEDGER_ROLE},
        )
        columns: dict[str, list[str]] = dict(await found.fetchall())
    assert tables == {
        **dict.fromkeys(
            [*BOOKS, "totals", "positions", "generations", "audit", "proposals"], "INSERT SELECT"
        ),
        **dict.fromkeys(["customers", "api_keys", "operators", "migrations"], "SELECT"),
    }
    assert columns == {
        "topups": SETTLED,
        "totals": ["amount_minor", "transactions"],
        "positions": ["entry_ms", "entry_seq"],
        "api_keys": ["last_used_at"],
        "proposals": ["checker", "ended_at", "ended_why", "state"],
    }


async def _book(url: str) -> None:
    async with opened(url) as database:
        await Books(database).book(
            [request(1)], [outcome(1, State.SUCCEEDED), outcome(1, State.FAILED)]
        )
