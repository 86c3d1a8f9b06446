"""The metrics that every service has, and the labels that any may have.

Each service declares its own metrics in its `metrics.py`, once; `docs/metrics.md` is made of these
declarations.
"""

from collections.abc import Mapping
from typing import Final

from prometheus_client import Gauge, Info

BUILD: Final = Info(
    "topup_build", "1; its labels say which `version` this replica runs, and as which `service`."
)
READY: Final = Gauge(
    "topup_ready", "1 while this replica has what it needs to serve, else 0.", ["service"]
)
DEPENDENCY_UP: Final = Gauge(
    "topup_dependency_up",
    "1 while this dependency is healthy, else 0; a scrape looks anew.",
    ["dependency"],
)

LABELS: Final[Mapping[str, str]] = {
    "age": "for how long: 1h (up to an hour), 1d, 7d, older",
    "answer": "what a provider says: delivered, refused (the number or the amount), busy, account "
    "(ours with it is the problem), not_sent, unknown, not_found",
    "code": "ok, or a code of the API's table of errors",
    "currency": "a currency that a provider of the catalogue sells in",
    "dependency": "a part in the `services` of this replica's `/health`",
    "group": "who reads a stream: dispatcher, ledger",
    "kind": "of a stream's entry: request, outcome, act",
    "partition": "a number under STREAM_PARTITIONS",
    "provider": "a provider of the catalogue; its lane",
    "query": "a path of the ledger's API, as it is declared: no id in it",
    "reply": "what the function `begin` answers",
    "result": "what an entry was to the books: new, known, aside, dead",
    "route": "a call of the API by its name; other: all that is none",
    "service": "gateway, ratelimiter, dispatcher, ledger",
    "state": "of a topup: queued, active, waiting, succeeded, failed, unresolved",
    "status": "an HTTP status",
    "stream": "outcomes, acts, or `requests:PROVIDER`; of all partitions together",
    "to": "the provider whose lane it went on to",
    "verdict": "allowed, refused",
    "why": "one of the few words that the metric's own sentence names",
}
"""Every label, and what bounds its values: never a customer, a phone, an id or a free text."""
