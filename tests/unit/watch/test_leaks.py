"""The search for secrets finds them: what it is silent about is none."""

from pathlib import Path

import pytest

from tests.leaks import check_logs, leaks_in

CLEAN = (
    '{"topup_id":"0195f2c4-7a1e-7c3b-9a50-123456789012","phone":"+52********83","entry":"1795000000000-0"}',
    '{"elapsed_ms":12345678901234,"amount_minor":1000,"event":"topup_accepted","instance":"gateway-1"}',
)


@pytest.mark.parametrize("line", CLEAN)
def test_an_ordinary_line_tells_nothing(line: str) -> None:
    """Ids, entries and amounts are no phones."""
    assert not list(leaks_in(line))


@pytest.mark.parametrize(
    "secret",
    ["topup_" + "a1B" * 13, "operator_" + "x" * 39, "+525566374683", "5566374683", "525566374683",
     "Bearer abcdefgh12345", "-----BEGIN PRIVATE KEY-----"],
)  # fmt: skip
def test_a_secret_is_found_wherever_it_stands(secret: str) -> None:
    """In JSON, in a driver's words, at the end."""
    for line in (f'{{"phone":"{secret}"}}', f"refused for {secret}", f"({secret}, 1)"):
        assert list(leaks_in(line)), line


def test_the_logs_of_a_run_are_searched_for_its_own_secrets(tmp_path: Path) -> None:
    """Those that look like nothing, too: passwords of servers, a provider's login."""
    logs = tmp_path / "logs"
    logs.mkdir()
    (tmp_path / "demo.env").write_text("TOPUP_ADMIN_KEY=admin-admin-admin\n")
    (tmp_path / "state.json").write_text(
        '{"environment":{"REDIS_URL":"redis://:p%40ssw0rd-1@127.0.0.1:1/0","LATCOM_PASSWORD":"quiet-word"}}'
    )
    (logs / "gateway-1.log").write_text(CLEAN[0])
    check_logs(tmp_path)
    for secret in ("admin-admin-admin", "p@ssw0rd-1", "quiet-word"):
        (logs / "gateway-1.log").write_text(f"x {secret} y")
        with pytest.raises(AssertionError, match="gateway-1"):
            check_logs(tmp_path)
