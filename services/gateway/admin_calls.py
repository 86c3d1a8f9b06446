"""What the admin API and health are, in the words of the API's description."""

from typing import Final

from services.gateway.calls import Answer, Call
from services.gateway.figures import Earnings, QueueStats
from shared.web.health import HealthReport

_REFUSALS: Final = ("unauthorized", "forbidden", "unavailable")

QUEUE_STATS: Final = Call(
    name="queue_stats",
    method="GET",
    path="/api/admin/queue-stats",
    tag="Admin",
    about="Where all topups are, and who is at work",
    key="admin",
    answers={200: Answer(about="The queue as it is", body=QueueStats)},
    refusals=_REFUSALS,
)
METRICS: Final = Call(
    name="metrics",
    method="GET",
    path="/api/admin/metrics",
    tag="Admin",
    about="What was sold, right to the cent",
    key="admin",
    answers={200: Answer(about="The books' totals", body=Earnings)},
    refusals=_REFUSALS,
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
