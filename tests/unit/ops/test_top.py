"""The live picture on the smallest terminal: whole, and with what matters first."""

from typing import Any

import msgspec
from rich.console import Console

from ops.screens.top import picture
from services.gateway.page.frames import Frame

TOOK = {"p50_ms": 137, "p95_ms": 1_258, "of": 264}
AT = "2026-11-23T22:00:00.123Z"


def lane(provider: str, **changes: Any) -> dict[str, Any]:
    return {
        "provider": provider, "state": "open", "served": True, "reason": None, "by": None,
        "since": None, "until": None, "failures": 0, "waiting": 123_456, "active": 4_500,
        "delayed": 12, "oldest_waiting_seconds": 372, "ended": 60_000, "success_share": 0.9512,
        "took": TOOK, **changes,
    }  # fmt: skip


def frame(**changes: Any) -> Frame:
    end = {
        "topup_id": "0195", "at": AT, "status": "unresolved", "provider": "LATCOM",
        "customer_id": "ACME", "amount": "2000.00", "currency": "MXN", "phone": "+52********83",
        "reason": None, "took_ms": 45_000,
    }  # fmt: skip
    flow = {
        "counts": {"waiting": 123_456, "active": 4_500, "delayed": 12, "completed": 10**9,
                   "failed": 1, "unresolved": 1},
        "rates": {"accepted": 1_000.4, "succeeded": 951.2, "failed": 48.8, "unresolved": 0.4},
        "took": TOOK,
        "lanes": [lane("DTONE", state="held", reason="strike [red]", by="ana", since=AT),
                  lane("LATCOM"), lane("RELOADLY", served=False, took=None)],
        "instances": [{"id": "dispatcher-1", "service": "dispatcher", "active": 20,
                       "concurrency": 20}],
        "recent": [end],
    }  # fmt: skip
    verdict = {"tone": "warn", "sentence": "DTONE is held.", "more": "", "lane": "DTONE"}
    sold = {
        "total_transactions": 50, "today": {"transactions": 252, "volume": {"MXN": "3000.00"}},
        "unresolved": {"transactions": 1, "volume": {"MXN": "10.00"}}, "limbo": [],
    }  # fmt: skip
    told = {"at": AT, "gateway": "gateway-2", "verdict": verdict, "flow": flow, "sold": sold}
    return msgspec.convert({**told, "unknown": {}, **changes}, Frame)


def shown(what: Frame, **how: str) -> str:
    console = Console(width=80, height=40)
    with console.capture() as captured:
        console.print(picture(what, **how))
    return captured.get()


def test_a_busy_minute_fits_80_columns() -> None:
    """Nothing is cut off or folded: each lane, replica and end is in its line."""
    lines = shown(frame()).splitlines()
    assert max(map(len, lines)) <= 80
    assert "ana since" in lines[0] + lines[1]
    assert "strike [red]" in lines[0]
    (latcom,) = [line for line in lines if line.startswith("LATCOM ")]
    assert latcom.split() == [
        "LATCOM", "open", "95.1%", "60,000", "137", "ms", "1.26", "s", "123,456", "4,500", "12",
        "6", "min", "12", "s",
    ]  # fmt: skip
    assert any("RELOADLY" in line and "not served" in line for line in lines)
    assert "dispatcher-1 20/20" in shown(frame())


def test_what_cannot_be_asked_is_unknown_and_no_zero() -> None:
    """Each part for itself."""
    away = shown(frame(flow=None, sold=None, unknown={"books": "The books are away"}))
    assert "The books are away" in away
    assert "in limbo: unknown" in away
    assert "LATCOM" not in away


def test_an_old_picture_says_so() -> None:
    """It stays to be read, with why there is no newer one."""
    assert "connection lost" in shown(frame(), lost="connection lost: trying again")
