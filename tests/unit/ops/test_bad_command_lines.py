"""Whatever is typed wrong, with whatever command: one line with an example, status 2, no change."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import pytest
from cyclopts import App

from ops import cli
from ops.line import WORD_CHARACTERS_MAX

ID = "019a0000-0000-7000-8000-000000000001"
LONGEST_LINE = 1_000

FINE: Final[Mapping[str, str]] = {
    "CUSTOMER": "ACME_001",
    "ID": ID,
    "KEY": "3fa9c2d1e0b7",
    "FILE": "all.jsonl.gz",
    "--provider": "LATCOM",
    "--file": "README.md",
    "--day": "2026-11-23",
    "REQUESTS": "500",
    "SERVICE": "gateway",
    "COUNTS": "gateway=2",
    "WHICH": "gateway",
    "WHAT": "order-17",
    "--merchant": "acme",
    "LANE": "LATCOM",
    "NAME": "ana",
    "LETTER": "0.1795471200123-0",
    "--reason": "maintenance",
    "--evidence": "ticket 4711",
}
"""What would do for a parameter, where another one is tried."""

_CUSTOMERS: Final = ("no such", "-1", "/dev/null", "²", "a@b", "x" * 65)
_DATES: Final = (
    "yesterday",
    "2026-02-30",
    "2026-11-23T22:00:00",
    "0000-01-01",
    "-1",
    "\u0662\u0660\u0662\u0666-11-23",
)
_NUMBERS: Final = ("many", "-1", "1.5", "1e3", "inf", "²", "9" * 500, "0x10")
_DURATIONS: Final = ("soon", "10", "-1s", "1.5h", "²s", "9" * 500 + "d")
_IDS: Final = ("42", ID[:-1], ID + "0", "Z" + ID[1:], "../" + ID)
_FILES: Final = ("no/folder/all.jsonl.gz", "no-such-file", ".", "README.md", "/dev/null")

WRONG: Final[Mapping[str, Sequence[str]]] = {
    "CUSTOMER": _CUSTOMERS,
    "--customer": _CUSTOMERS,
    "ID": _IDS,
    "--topup": _IDS,
    "NAME": ("admin", "Ana", "ana maria", "1st", "a" * 33),
    "--who": ("no such", "²", "x" * 129),
    "--act": ("no such", "²", "x" * 129),
    "--target": ("no such", "²", "x" * 129),
    "--noted": ("1", "x:y", "1:abc"),
    "KEY": ("42", "no such", "topup_" + "x" * 39, "3FA9C2D1E0B7", "0" * 65),
    "REQUESTS": ("0", "1000001", *_NUMBERS),
    "--limit": ("0", "1000001", *_NUMBERS),
    "--partitions": ("0", "4097", *_NUMBERS),
    "--tail": ("100001", *_NUMBERS),
    "--from": _DATES,
    "--day": ("2026-11-23T22:00:00-06:00", "20261123", *_DATES),
    "--layout": ("no-such-file", ".", "README.md"),
    "--report": ("day.pdf", "day", ".", "README.md", "no/folder/day.csv"),
    "--to": _DATES,
    "evidence --to": (".", "README.md", "no/folder/sale.zip"),
    "--since": _DURATIONS,
    "--grace": ("0s", "366d", *_DURATIONS),
    "--provider": ("NOBODY", "latcom", "-1"),
    "--status": ("perhaps", "SUCCEEDED", "-1"),
    "--scope": ("topup:delete", "*"),
    "--key": ("42", "g" * 64, "0" * 63),
    "--merchant": ("ACME", "a/b", "admin", "-", "²", "x" * 64),
    "--label": ("x" * 65,),
    "LANE": ("NOBODY", "latcom", "-1"),
    "--evidence": ("x" * 1_001, "  ", "@no-such-file", "@."),
    "--asked-at": _DATES,
    "LETTER": ("0", "1795471200123-0", "a.1795471200123-0", "0.1-", "../0.1-0", "99999999.1-0"),
    "--reason": ("x" * 301, "  "),
    "--until": (*_DATES, "2020-11-23T22:00:00Z", "9999-12-31T23:59:59-12:00"),
    "--for": ("0s", "367d", *_DURATIONS),
    "--file": _FILES,
    "FILE": _FILES,
    "SERVICE": ("cashier", "gateway;ls", "../gateway"),
    "COUNTS": ("dispatcher", "=2", "gateway=-1", "gateway=²", "gateway=" + "9" * 400, "5=gateway"),
    "WHAT": ("x" * 256,),
    "WHICH": ("cashier", "../state", "*", "-1"),
}
"""What a parameter does not take; a new parameter that takes text needs a row here."""

UNPRINTABLE: Final = ("a\x1b[31mb", "a\nb", "a\rb", "a\0b", "\x7f", "\udcff", "\u202eb")


class Taken(NamedTuple):
    """One command, and the parameters that it takes."""

    path: tuple[str, ...]
    positional: list[str]
    options: list[str]  # with a value
    flags: list[str]
    required: list[str]
    any_number: bool

    def line(self, name: str = "", value: str = "") -> list[str]:
        """Return a line that is right but for this one value."""
        words = list(self.path)
        upto = self.positional.index(name) if name in self.positional else -1
        for place, positional in enumerate(self.positional):
            if positional == name:
                words.append(value)
            elif positional in self.required or place < upto:
                words.append(FINE[positional])
        for option in self.options:
            if option == name:
                words.append(f"{option}={value}")
            elif option in self.required:
                words.append(f"{option}={FINE[option]}")
        return words


def commands(app: App, path: tuple[str, ...] = ()) -> Iterator[Taken]:
    """Yield every command there is."""
    names = [name for name in app if not name.startswith("-")]
    for name in names:
        yield from commands(app[name], (*path, name))
    if app.default_command is None or not path:
        return
    found = [each for each in app.assemble_argument_collection() if each.name != "*"]
    flags = [each.name for each in found if each.hint is bool]
    options = [each.name for each in found if each.name.startswith("-")]
    yield Taken(
        path=path,
        positional=[each.name for each in found if not each.name.startswith("-")],
        options=[name for name in options if name not in flags],
        flags=flags,
        required=[each.name for each in found if each.required],
        any_number=any("VAR" in str(each.field_info.kind) for each in found),
    )


COMMANDS: Final = list(commands(cli.app))


def _wrong(taken: Taken, name: str) -> Sequence[str]:
    """Return what this command does not take there; most names mean one thing everywhere."""
    return WRONG.get(f"{' '.join(taken.path)} {name}", WRONG[name])


def wrong_lines() -> Iterator[list[str]]:
    for taken in COMMANDS:
        yield [*taken.line(), "--no-such-option"]
        if not taken.any_number:
            yield [*taken.path, *(FINE[name] for name in taken.positional), "surplus", "words"]
        if taken.required:
            yield list(taken.path)
        for option in taken.options:
            without = [word for word in taken.line() if not word.startswith(option)]
            yield [*without, option]
        for flag in taken.flags:
            yield [*taken.line(), f"{flag}=perhaps"]
        for name in (*taken.positional, *taken.options):
            for value in (*_wrong(taken, name), *UNPRINTABLE, "", "x" * (WORD_CHARACTERS_MAX + 1)):
                yield taken.line(name, value)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder where nothing runs, though something once did."""
    (tmp_path / "topup" / "logs").mkdir(parents=True)
    (tmp_path / "topup" / "logs" / "gateway-1.log").write_text("{}\n")
    (tmp_path / "README.md").write_text("no archive")
    for name in ("REDIS_URL", "DATABASE_URL", "TOPUP_URL", "TOPUP_ADMIN_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TOPUP_DATA_DIR", str(tmp_path / "topup"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_parameter_is_tried() -> None:
    """One that takes text has wrong values in the table above."""
    for taken in COMMANDS:
        for name in (*taken.positional, *taken.options):
            assert name in WRONG, f"{' '.join(taken.path)} takes {name}: add a row to WRONG"


def test_wrong_words(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing of it reaches a terminal as more than one plain line, and nothing is written."""
    before = sorted(here.rglob("*"))
    for words in wrong_lines():
        monkeypatch.setattr("sys.argv", ["topup", *words])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capsys.readouterr()
        told = f"topup {' '.join(map(repr, words))}: {err!r}"
        assert ended.value.code == 2, told
        assert out == "", told
        assert err.endswith("\n"), told
        assert err[:-1].isprintable(), told
        assert len(err) < LONGEST_LINE, told
        assert "for example" in err.lower() or "say its id instead" in err, told
    assert sorted(here.rglob("*")) == before
