"""Everything that any witness knows of one topup, in time order."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from tests.chaos.run import Told

SHOWN: Final = ("event", "attempt", "mode", "answer", "reply", "why", "state", "elapsed_ms")
Moment = tuple[int, str, str]  # when (ms), who says it, what


def story(told: Told, whose: str) -> Iterator[str]:
    """Yield the lines of one topup's story, by its id or by the merchant's key."""
    heard = next(
        (one for key, one in told.sources.merchant.items() if whose in (key, *one.ids)), None
    )
    ids = set(heard.ids) if heard else {whose}
    moments = [*_logged(told.folder, ids), *_streamed(told, ids)]
    if heard is not None:
        moments += [
            (line.at_ms, "merchant", f"{line.what} {line.status or ''} {line.state or ''}")
            for line in told.lines
            if line.key == heard.sale.key
        ]
    if moments:
        first, last = min(moments)[0], max(moments)[0]
        moments += [
            (one.from_ms, "chaos", f"{one.fault}, over after {one.to_ms - one.from_ms} ms")
            for one in told.happened
            if one.to_ms >= first - 1_000 and one.from_ms <= last
        ]
    yield f"the story of {whose} ({heard.sale if heard else 'no sale of the merchant'}):"
    for at_ms, who, what in sorted(moments):
        at = datetime.fromtimestamp(at_ms / 1_000, UTC).isoformat(timespec="milliseconds")
        yield f"  {at[11:23]} {who:<14} {what}"
    for topup_id in sorted(ids):
        for name, did in told.sources.asked(topup_id).items():
            yield f"  at last: {name} {did}"
        yield f"  at last: ledger {told.sources.ledger.get(topup_id)}"
        yield f"  at last: record {told.sources.streams.records.get(topup_id)}"


def _streamed(told: Told, ids: set[str]) -> Iterator[Moment]:
    streams = told.sources.streams
    for topup_id in ids:
        if topup_id in streams.accepted_ms:
            yield streams.accepted_ms[topup_id], "stream", "accepted"
        if topup_id in streams.settled_ms:
            yield streams.settled_ms[topup_id], "stream", f"ended: {streams.outcomes[topup_id]}"


def _logged(folder: Path, ids: set[str]) -> Iterator[Moment]:
    """Yield what replicas wrote with one of the ids."""
    for log in (folder / "topup" / "logs").glob("*.log*"):
        with log.open("rb") as lines:
            for line in lines:
                if not any(topup_id.encode() in line for topup_id in ids):
                    continue
                try:
                    fact = msgspec.json.decode(line, type=dict[str, Any])
                except msgspec.DecodeError:
                    continue
                at = datetime.fromisoformat(fact["timestamp"])
                said = " ".join(f"{name}={fact[name]}" for name in SHOWN if name in fact)
                yield int(at.timestamp() * 1_000), log.name.partition(".")[0], said
