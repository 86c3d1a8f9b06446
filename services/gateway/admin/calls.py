"""What the admin API and health are, in the words of the API's description."""

from typing import Annotated, Final

import msgspec

from services.gateway.admin.figures import Earnings, QueueStats
from services.gateway.calls import Answer, Call, Field
from services.gateway.merchant.replies import Success
from services.gateway.merchant.topup_calls import KEY_REFUSALS
from shared.contracts.peers import PAGE_MAX, SEQ_MAX, WORD_PATTERN, AuditRow
from shared.web.health import HealthReport

_WORD: Final = {"type": "string", "pattern": f"^{WORD_PATTERN}$"}

QUEUE_STATS: Final = Call(
    name="queue_stats",
    method="GET",
    path="/api/admin/queue-stats",
    tag="Admin",
    about="Where all topups are, and who is at work",
    key="admin",
    answers={200: Answer(about="The queue as it is", body=QueueStats)},
    refusals=KEY_REFUSALS,
)
METRICS: Final = Call(
    name="metrics",
    method="GET",
    path="/api/admin/metrics",
    tag="Admin",
    about="What was sold, right to the cent",
    key="admin",
    answers={200: Answer(about="The books' totals", body=Earnings)},
    refusals=KEY_REFUSALS,
)


class AuditShown(msgspec.Struct, frozen=True, kw_only=True):
    """Acts, newest first."""

    success: Success = True
    acts: list[AuditRow]
    next: Annotated[int | None, msgspec.Meta(description="`before` of the next page.")]


AUDIT: Final = Call(
    name="audit",
    method="GET",
    path="/api/admin/audit",
    tag="Admin",
    about="Who did what, to what, why and when, newest first",
    detail="Every act of operators and every change that a lane makes by itself, in a chain of "
    "hashes that only grows. An act is here once the ledger has read it, mostly within a second.",
    key="admin",
    query=(
        Field(
            name="limit",
            about="Acts on a page.",
            schema={"type": "integer", "minimum": 1, "maximum": PAGE_MAX, "default": 50},
            example=50,
        ),
        Field(
            name="before",
            about="Before this place in the chain: `next` of the page before.",
            schema={"type": "integer", "minimum": 1, "maximum": SEQ_MAX},
        ),
        Field(name="who", about="Of this person.", schema=_WORD, example="ana"),
        Field(name="act", about="Of this kind.", schema=_WORD, example="lane.hold"),
        Field(
            name="target",
            about="Of this lane, topup, customer or operator.",
            schema=_WORD,
            example="LATCOM",
        ),
    ),
    answers={200: Answer(about="A page", body=AuditShown)},
    refusals=KEY_REFUSALS,
)
HEALTH: Final = Call(
    name="health",
    method="GET",
    path="/health",
    tag="Health",
    about="One instance's health",
    answers={
        200: Answer(about="It serves; perhaps degraded", body=HealthReport),
        503: Answer(about="It cannot serve now", body=HealthReport),
    },
)
