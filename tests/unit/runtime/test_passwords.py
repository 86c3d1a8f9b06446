"""A service's own password stands in one file, whatever its URLs are."""

from pathlib import Path

import msgspec
import pytest

from shared.contracts.errors import InvalidSettings
from shared.runtime.passwords import with_password


class Urls(msgspec.Struct, frozen=True):
    redis_url: str = ""
    limiter_redis_url: str | None = None
    database_url: str = ""


def test_it_is_put_where_its_own_user_is_named(tmp_path: Path) -> None:
    """With whatever characters, for both servers, and what the URL says beside stays."""
    secret = tmp_path / "ledger"
    secret.write_text("it's 100 %/@:\n")
    urls = Urls(
        redis_url="rediss://topup-ledger@valkey:6379/0?ssl_ca_certs=/ca.pem",
        database_url="postgresql://topup_ledger@a:5432,b:5432/topup?sslmode=verify-full",
    )
    found = with_password(urls, "ledger", {"LEDGER_PASSWORD_FILE": str(secret)})
    written = "it%27s%20100%20%25%2F%40%3A"
    assert found == Urls(
        redis_url=f"rediss://topup-ledger:{written}@valkey:6379/0?ssl_ca_certs=/ca.pem",
        database_url=f"postgresql://topup_ledger:{written}@a:5432,b:5432/topup?sslmode=verify-full",
    )


@pytest.mark.parametrize(
    "url",
    [
        "redis://valkey:6379/0",
        "redis://:theirs@valkey:6379/0",
        "redis://topup-gateway:theirs@valkey:6379/0",
        "redis://somebody@valkey:6379/0",
        "redis://topup-ledger@valkey:6379/0",
    ],
)
def test_whom_the_url_names_otherwise_stays(url: str) -> None:
    """A password of its own, or another user, is not ours to change."""
    urls = Urls(redis_url=url)
    assert with_password(urls, "gateway", {"GATEWAY_PASSWORD": "ours"}) == urls


def test_without_one_nothing_changes() -> None:
    """As it is where one login serves all."""
    urls = Urls(redis_url="redis://topup-gateway@valkey:6379/0")
    assert with_password(urls, "gateway", {"LEDGER_PASSWORD": "another's"}) is urls


@pytest.mark.parametrize("text", ["", None])
def test_a_file_without_a_password_is_named(tmp_path: Path, text: str | None) -> None:
    """Empty or missing: one line with the variable, and no start."""
    secret = tmp_path / "gateway"
    if text is not None:
        secret.write_text(text)
    with pytest.raises(InvalidSettings, match=r"^GATEWAY_PASSWORD is to be read from .*; for"):
        with_password(Urls(), "gateway", {"GATEWAY_PASSWORD_FILE": str(secret)})
