"""Migrations: each once, whoever runs them, and never another file under an applied number."""

import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from msgspec.structs import replace
from psycopg import sql

from services.ledger.compatibility import WouldBreak
from services.ledger.migrations import (
    Migration,
    MigrationRefused,
    migrate,
    numbered,
    shipped,
)
from tests.integration.ledger.conftest import opened

pytestmark = pytest.mark.integration


def silent(_text: str) -> None:
    """Say nothing."""


@pytest.fixture
def empty_url(postgres_url: str) -> Iterator[str]:
    """An empty database."""
    name = f"empty_{secrets.token_hex(6)}"
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    yield postgres_url.rsplit("/", 1)[0] + f"/{name}"
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def test_the_second_run_has_nothing_to_do(empty_url: str) -> None:
    """`topup migrate` may be run at every deployment."""
    names = [migration.name for migration in shipped()]
    assert migrate(empty_url, shipped(), say=silent) == names
    assert migrate(empty_url, shipped(), say=silent) == []


def test_at_once_from_everywhere_each_is_applied_once(empty_url: str) -> None:
    """Replicas of a deployment may all try."""
    with ThreadPoolExecutor(4) as pool:
        runs = [pool.submit(migrate, empty_url, shipped(), say=silent) for _ in range(4)]
        applied = sorted(name for run in runs for name in run.result())
    assert applied == [migration.name for migration in shipped()]


def test_a_changed_file_is_refused_and_changes_nothing(empty_url: str) -> None:
    """The schema in the database is not what the file says now; people must look."""
    first, *_ = shipped()
    migrate(empty_url, [first], say=silent)
    changed = replace(first, text=first.text + "-- a second thought\n")
    with pytest.raises(MigrationRefused, match="put it back as it was"):
        migrate(empty_url, [changed, *shipped()[1:]], say=silent)
    assert migrate(empty_url, [first], say=silent) == []


def test_a_number_given_twice_is_refused() -> None:
    """Only one of the two would ever be applied."""
    with pytest.raises(MigrationRefused, match=r"0003_d\.sql has the number"):
        numbered({"0001_a.sql": "SELECT 1", "0003_c.sql": "SELECT 3", "0003_d.sql": "SELECT 4"})


def test_a_lower_number_that_comes_later_is_applied(empty_url: str) -> None:
    """Work goes on side by side: what was finished first may have the higher number."""
    first, third = numbered({"0001_a.sql": "SELECT 1", "0003_c.sql": "SELECT 3"})
    migrate(empty_url, [first, third], say=silent)
    (second,) = numbered({"0002_b.sql": "SELECT 2"})
    assert migrate(empty_url, [first, second, third], say=silent) == ["0002_b.sql"]


def test_a_half_built_index_is_built_again(empty_url: str) -> None:
    """A concurrent build that was broken off leaves an invalid index of the same name."""
    lists = next(migration for migration in shipped() if migration.name == "0003_lists.sql")
    before = [migration for migration in shipped() if migration.number < lists.number]
    migrate(empty_url, before, say=silent)
    with psycopg.connect(empty_url, autocommit=True) as connection:
        connection.execute("CREATE INDEX topups_by_time ON topups (customer_id)")
        connection.execute(
            "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'topups_by_time'::regclass"
        )
        migrate(empty_url, [*before, lists], say=silent)
        (definition,) = connection.execute(
            "SELECT indexdef FROM pg_indexes WHERE indexname = 'topups_by_time'"
        ).fetchone() or ("",)
    assert "accepted_at DESC" in definition


CONTRACT = "-- contract {:04}: nobody reads it since\nALTER TABLE outcomes DROP COLUMN tried;\n"


def contracted(needed: int) -> list[Migration]:
    """Return all migrations, and one that takes away what versions before `needed` need."""
    (less,) = numbered({"9000_less.sql": CONTRACT.format(needed)})
    return [*shipped(), less]


def has_column(url: str) -> bool:
    """Tell whether the column is still there."""
    with psycopg.connect(url) as connection:
        found = connection.execute(
            "SELECT FROM pg_attribute WHERE attrelid = 'outcomes'::regclass"
            " AND attname = 'tried' AND NOT attisdropped"
        ).fetchone()
    return found is not None


async def test_nothing_is_taken_away_from_a_version_that_runs(ledger_url: str) -> None:
    """A ledger is connected that does not know the migration since which nobody needs it."""
    (expanding,) = numbered({"8000_more.sql": "ALTER TABLE topups ADD COLUMN more text;"})
    async with opened(ledger_url) as database:
        await database.ping()
        both = [*contracted(8000)[:-1], expanding, contracted(8000)[-1]]
        with pytest.raises(WouldBreak, match=r"9000_less\.sql .*before the migration 8000"):
            migrate(ledger_url, both, say=silent)
        assert has_column(ledger_url)
        with psycopg.connect(ledger_url) as connection:
            (applied,) = connection.execute("SELECT max(number) FROM migrations").fetchone() or (0,)
        assert applied < 8000, "what would be added is not added either"
    assert migrate(ledger_url, both, say=silent) == ["8000_more.sql", "9000_less.sql"]
    assert not has_column(ledger_url)


async def test_it_is_taken_away_from_versions_that_do_not_need_it(ledger_url: str) -> None:
    """The one that is connected knows the migration since which nobody does."""
    async with opened(ledger_url) as database:
        await database.ping()
        assert migrate(ledger_url, contracted(shipped()[-1].number), say=silent)
        assert not has_column(ledger_url)


def test_a_ledger_that_does_not_say_its_version_counts_as_the_oldest(
    ledger_url: str, service_url: str
) -> None:
    """It is seen by its role."""
    with psycopg.connect(service_url), pytest.raises(WouldBreak, match="unnamed one of topup_led"):
        migrate(ledger_url, contracted(1), say=silent)


def test_what_takes_away_without_a_word_is_refused(ledger_url: str) -> None:
    """Whoever runs or not: nobody has thought of those who do."""
    (less,) = numbered({"9000_less.sql": "ALTER TABLE outcomes DROP COLUMN tried;"})
    with pytest.raises(WouldBreak, match="drops something"):
        migrate(ledger_url, [*shipped(), less], say=silent)
    assert has_column(ledger_url)
