"""Command lines as they are typed, and what came of them."""

import os
import pty
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from ops.cli import main


class Done(msgspec.Struct, frozen=True):
    """A command that has ended."""

    status: int
    out: str
    err: str


Type = Callable[..., Done]


@pytest.fixture(name="topup")
def typed(
    ledger_url: str,
    redis_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Type:
    """Type a command line; with an answer, at a terminal."""
    monkeypatch.setenv("TOPUP_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("DATABASE_URL", ledger_url)
    monkeypatch.setenv("REDIS_URL", redis_url)

    def run(*words: str, answer: str | None = None) -> Done:
        terminal, ours = pty.openpty()
        os.write(terminal, f"{answer}\n".encode())
        with monkeypatch.context() as typing, open(ours) as stdin, open(os.devnull) as nobody:  # noqa: PTH123 - of a descriptor
            typing.setattr(sys, "argv", ["topup", *words])
            typing.setattr(sys, "stdin", nobody if answer is None else stdin)
            with pytest.raises(SystemExit) as end:
                main()
        os.close(terminal)
        code = end.value.code
        assert code is None or isinstance(code, int)
        return Done(code or 0, *capfd.readouterr())

    return run


def ok(topup: Type, *words: str) -> str:
    """Type what must succeed; return what it printed."""
    done = topup(*words)
    assert (done.status, done.err) == (0, "")
    return done.out
