"""A migration that an earlier version may not survive says so, or is not taken."""

import pytest

from services.ledger.compatibility import WouldBreak, check_heads, takes_away
from services.ledger.migrations import numbered, shipped


def test_every_shipped_migration_says_what_it_takes_away() -> None:
    """`topup migrate` would refuse the others."""
    check_heads(shipped())


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("DROP TABLE topups;", "drops something"),
        ("ALTER TABLE topups\n    DROP COLUMN product;", "drops something"),
        ("DROP TRIGGER onwards ON topups;", "drops something"),
        ("ALTER TABLE topups RENAME COLUMN product TO item;", "renames something"),
        ("ALTER TABLE topups ALTER COLUMN seq TYPE bigint;", "changes a column's type"),
        ("ALTER TABLE topups ALTER seq SET DATA TYPE bigint;", "changes a column's type"),
        ("ALTER TABLE topups ALTER COLUMN reason SET NOT NULL;", "makes a column obligatory"),
        ("ALTER TABLE topups ADD COLUMN more text NOT NULL;", "adds an obligatory column"),
        ("ALTER TABLE topups ADD more text NOT NULL;", "adds an obligatory column"),
        (
            "ALTER TABLE topups ADD a text NOT NULL DEFAULT '', ADD b numeric(9, 2) NOT NULL;",
            "adds an obligatory column",
        ),
        ("ALTER TABLE topups ADD CHECK (seq < 3);", "adds a constraint"),
        ("alter table topups add constraint c unique (phone);", "adds a constraint"),
        ("REVOKE INSERT ON topups FROM topup_ledger;", "revokes a right"),
        ("DELETE FROM totals;", "deletes rows"),
        ("CREATE TRIGGER t BEFORE INSERT ON topups EXECUTE FUNCTION f();", "adds a trigger"),
        ("CREATE UNIQUE INDEX CONCURRENTLY i ON topups (phone);", "adds a unique index"),
    ],
)
def test_what_takes_away_is_seen(text: str, what: str) -> None:
    """Whatever it is called, and refused unless its head says since when nobody needs it."""
    assert takes_away(text) == [what]
    with pytest.raises(WouldBreak, match=what):
        check_heads(numbered({"0070_less.sql": text}))
    with pytest.raises(WouldBreak, match=what):
        check_heads(numbered({"0005_less.sql": text}))  # a low number is no way around it
    check_heads(numbered({"0070_less.sql": f"-- contract 0065: nobody does since\n{text}"}))
    check_heads(numbered({"0070_less.sql": f"-- expand: it is wider\n{text}"}))


@pytest.mark.parametrize(
    "text",
    [
        "ALTER TABLE topups ADD COLUMN more text;",
        "ALTER TABLE api_keys ADD COLUMN label text NOT NULL DEFAULT '', ADD COLUMN at date;",
        "ALTER TABLE topups ALTER COLUMN reason DROP NOT NULL, ALTER COLUMN seq DROP DEFAULT;",
        "DROP INDEX CONCURRENTLY topups_by_time;",
        "CREATE INDEX i ON topups (phone);\n-- DROP TABLE topups;",
        """
        CREATE TABLE n (a text NOT NULL CHECK (a <> ''));
        CREATE UNIQUE INDEX i ON n (a);
        CREATE TRIGGER t BEFORE UPDATE ON n EXECUTE FUNCTION refuse_change();
        GRANT SELECT ON n TO topup_ledger;
        """,
    ],
)
def test_what_only_adds_needs_no_word(text: str) -> None:
    """New tables, columns that may be left out, indexes, rights."""
    assert takes_away(text) == []
    check_heads(numbered({"0070_more.sql": text}))
