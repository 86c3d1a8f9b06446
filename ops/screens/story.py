"""Lays out the story of one topup: what it is, a line for each moment, and what carries it now."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final

import msgspec

from ops.screens.words import age, moment, plain

_DOUBT: Final = {"one": "one send may have paid", "many": "several sends may have paid"}
_RECORD: Final = (
    "state", "lane", "carried_by", "due", "mode", "owner", "lease_until", "doubt",
    "quarantine_until", "deliver_before",
)  # fmt: skip
Story = Mapping[str, Any]


def as_text(story: Story, *, timezone: str) -> str:
    """Return the screen; ends with a line feed."""
    lines = [f"topup {story['topup_id']}   {story['status']}", *_asked(story), ""]
    began = None
    for one in story["timeline"]:
        at_ms = _ms(one["at"])
        began = at_ms if began is None else began
        shown = moment(at_ms, timezone)
        clock = f"{shown:%Y-%m-%d %H:%M:%S}.{at_ms % 1_000:03}"
        lines.append(
            f"  {clock}  +{age((at_ms - began) / 1_000):<10} {one['source']:<9}"
            f"{one['event']:<20}{_detail(one['detail'])}"
        )
    lines += ["", *_postings(story), *_now(story)]
    return "\n".join(plain(line) for line in lines).rstrip() + "\n"


def as_choice(matches: Mapping[str, Any]) -> str:
    """Return the topups that fit, a line each."""
    lines = [
        f"{row['topup_id']}  {row['accepted_at']}  {row['status']:<10} {row['customer_id']}  "
        f"{row['amount']} {row['currency']}  {row['phone']}  {row['reference'] or '-'}"
        for row in matches["data"]
    ]
    more = ["… and more"] if matches["has_more"] else []
    return "\n".join(plain(line) for line in [*lines, *more]) + "\n"


def _asked(story: Story) -> Iterator[str]:
    sold = f"{story['amount']} {story['currency']}, {story['product']} by {story['provider']}"
    rows = (
        ("customer", story["customer_id"]),
        ("phone", story["phone"]),
        ("sale", sold),
        ("reference", story["reference"]),
        ("provider's id", story["provider_reference"]),
        ("reason", story["reason"]),
    )
    return (f"  {name:<16}{value}" for name, value in rows if value)


def _detail(detail: Mapping[str, Any]) -> str:
    return "  ".join(f"{name} {_word(value)}" for name, value in detail.items())


def _word(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return msgspec.json.encode(value).decode()


def _postings(story: Story) -> Iterator[str]:
    for one in story["postings"]:
        yield (
            f"  posting {one['seq']}.{one['line']}     {one['debit']} → {one['credit']}  "
            f"{one['amount']} {one['currency']}"
        )
    if story["set_aside"]:
        yield f"  set aside       {story['set_aside']} entries that contradict these"


def _now(story: Story) -> Iterator[str]:
    """Tell of the record; most of it is gone once the topup has ended."""
    record = story["record"]
    if record is None:
        known = story["unknown"].get("record")
        why = known or "kept until IDEMPOTENCY_WINDOW after the end"
        yield f"  record          {'unknown' if known else 'none'}: {why}"
        return
    for name in _RECORD:
        value = record.get(name)
        if value not in (None, "", "none"):
            shown = _DOUBT.get(value, value) if name == "doubt" else value
            yield f"  {name.replace('_', ' '):<16}{shown}"


def _ms(at: str) -> int:
    return round(datetime.fromisoformat(at).timestamp() * 1_000)
