"""The secrets of deploy/compose.yaml: each where it is read, drawn once, and enough of them."""

import asyncio
import re
import ssl
import stat
from pathlib import Path
from typing import Any

import pytest
import yaml

from ops.compose import draw, main
from ops.servers.valkey import DURABLE, VOLATILE

DEPLOY = Path(__file__).parents[3] / "deploy"


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that was drawn into."""
    folder = tmp_path_factory.mktemp("deploy") / "secrets"
    draw(folder, url="http://127.0.0.1:8080")
    return folder


def composed() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    return found


def test_each_service_finds_what_it_is_told_to_read(drawn: Path) -> None:
    """Every file that compose.yaml names is drawn, for that service, and no other file is."""
    for name, service in composed().items():
        mounts = [v for v in service.get("volumes", []) if v.endswith(":/run/secrets:ro")]
        if not mounts:
            assert "/run/secrets" not in str(service), name
            continue
        folder = drawn / mounts[0].removeprefix("./secrets/").partition(":")[0]
        told = re.findall(r"/run/secrets/([a-z_.]+)", str(service))
        if name.startswith("valkey"):
            told = re.findall(
                r"/run/secrets/([a-z_.]+)", (DEPLOY / "valkey/streams.conf").read_text()
            )
        assert {path.name for path in folder.iterdir()} == set(told), name


def test_what_is_there_stays(tmp_path: Path) -> None:
    """A file of yours is used instead, and a second start changes nothing."""
    folder = tmp_path / "secrets"
    (folder / "gateway").mkdir(parents=True)
    (folder / "gateway" / "admin_key").write_text("mine")
    draw(folder, url="http://127.0.0.1:8080")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert before[folder / "gateway" / "admin_key"] == b"mine"
    (folder / "ledger" / "redis_url").unlink()
    draw(folder, url="http://127.0.0.1:9090")
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_nobody_else_on_the_machine_enters(drawn: Path) -> None:
    """Services read as users that nobody here knows, so the folder above is what is closed."""
    assert stat.S_IMODE(drawn.stat().st_mode) == 0o700
    assert stat.S_IMODE((drawn / "gateway" / "redis_url").stat().st_mode) == 0o444
    assert stat.S_IMODE((drawn / "demo.env").stat().st_mode) == 0o600


def test_the_valkeys_are_those_of_make_run() -> None:
    """What is durable there is durable here."""
    for name, settings in (("streams.conf", DURABLE), ("limits.conf", VOLATILE)):
        lines = (DEPLOY / "valkey" / name).read_text().splitlines()
        assert set(settings.splitlines()) <= set(lines), name


async def test_the_sandbox_is_who_it_says(drawn: Path) -> None:
    """Its certificate is good for its name, and for no other."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(drawn / "sandbox" / "sandbox.pem")
    trust = ssl.create_default_context(cafile=drawn / "dispatcher" / "sandbox.pem")
    async with await asyncio.start_server(
        lambda _reader, writer: writer.close(), "127.0.0.1", 0, ssl=context
    ) as server:
        port = server.sockets[0].getsockname()[1]
        _, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=trust, server_hostname="sandbox"
        )
        writer.close()
        with pytest.raises(ssl.SSLCertVerificationError):
            await asyncio.open_connection(
                "127.0.0.1", port, ssl=trust, server_hostname="provider.example"
            )


def test_a_folder_that_cannot_be_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And so is a missing word."""
    assert main([], {}) == 2
    (tmp_path / "file").write_text("")
    assert main([str(tmp_path / "file" / "secrets")], {}) == 1
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "drawn.json").write_text("{}")
    assert main([str(tmp_path / "secrets")], {}) == 1
    assert len(capsys.readouterr().err.splitlines()) == 3
