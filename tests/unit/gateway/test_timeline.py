"""The story in the order of time: what people and lanes did stands where it happened."""

from typing import Any

from services.gateway.admin.timeline import timeline
from shared.contracts.peers import AuditRow, TopupRow
from shared.contracts.stories import Dossier

ID = "0195f000-0000-7000-8000-000000000001"
AT_MS = 1_795_000_000_000


def act(at_ms: int, name: str, target: str, before: Any, after: Any) -> AuditRow:
    return AuditRow(
        seq=1, id=ID, at_ms=at_ms, who="ana", act=name, target=target, why="they say so",
        before=before, after=after, hash="00",
    )  # fmt: skip


def told(*acts: AuditRow) -> list[tuple[str, dict[str, Any]]]:
    """Return what is told of a topup that is only accepted, but for the details of that."""
    topup = TopupRow(
        topup_id=ID, customer_id="C1", phone="+525512345678", country="MX", amount_minor=1_000,
        currency="MXN", provider="LATCOM", product="XOOM_10_MXN", status="unresolved",
        accepted_at_ms=AT_MS,
    )  # fmt: skip
    booked = Dossier(topup=topup, outcomes=[], postings=[], set_aside=0, acts=list(acts))
    return [
        (one.event, one.detail if one.source == "audit" else {})
        for one in timeline(None, booked, [])
    ]


def test_acts_stand_among_the_rest_by_time() -> None:
    """A lane that was held before it, and what people did after it; with the states."""
    held = act(AT_MS - 1, "lane.hold", "LATCOM", {"state": "open"}, {"state": "held", "by": "ana"})
    ended = act(AT_MS + 1, "topup.resolve", ID, {"state": "unresolved"}, {"state": "failed"})
    ana = {"who": "ana", "why": "they say so"}
    assert told(ended, held) == [
        ("lane.hold", {"of": "LATCOM", **ana, "from": "open", "to": "held"}),
        ("accepted", {}),
        ("topup.resolve", {"of": ID, **ana, "from": "unresolved", "to": "failed"}),
    ]


def test_an_act_without_states_says_all_it_has() -> None:
    """What was proposed, for example; what there was not before is left out."""
    ((_, _), (event, detail)) = told(act(AT_MS + 1, "topup.propose", ID, None, {"to": "failed"}))
    assert (event, detail["to"], "from" in detail) == ("topup.propose", {"to": "failed"}, False)
