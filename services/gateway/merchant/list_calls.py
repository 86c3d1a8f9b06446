"""What GET of many topups is, in the words of the API's description."""

from typing import Final

from services.gateway.calls import Answer, Call, Field
from services.gateway.merchant.listings import LIMIT_DEFAULT, LIMIT_MAX
from services.gateway.merchant.phones import WRITTEN_PATTERN
from services.gateway.merchant.replies import STATUSES, TopupList
from services.gateway.merchant.topup_calls import (
    CUSTOMER_ID,
    ECHO,
    KEY_REFUSALS,
    MERCHANT,
    REQUEST_ID,
)
from shared.contracts.catalogue import OFFERS
from shared.contracts.events import AUTO

_INSTANT: Final = {"type": "string", "format": "date-time"}
_FILTERS: Final = (
    Field(
        name="status",
        about="As it is by now.",
        schema={"type": "string", "enum": STATUSES},
        example="succeeded",
    ),
    Field(
        name="provider",
        about="Of this provider; AUTO: of none yet.",
        schema={"type": "string", "enum": [*OFFERS, AUTO]},
        example="LATCOM",
    ),
    Field(
        name="phone",
        about="National or E.164; a + that came as a space is meant as one.",
        schema={"type": "string", "pattern": f"^ ?{WRITTEN_PATTERN}$"},
        example="5566374683",
    ),
    Field(
        name="from",
        about="Accepted at or after it: RFC 3339 with an offset.",
        schema=_INSTANT,
        example="2026-11-23T00:00:00-06:00",
    ),
    Field(
        name="to",
        about="Accepted before it: RFC 3339 with an offset.",
        schema=_INSTANT,
        example="2036-11-23T00:00:00Z",
    ),
)
_PAGES: Final = (
    Field(
        name="limit",
        about="Topups on a page.",
        schema={"type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": LIMIT_DEFAULT},
        example=LIMIT_DEFAULT,
    ),
    Field(
        name="cursor",
        about="`next_cursor` of the page before, with the same filters.",
        schema={"type": "string", "minLength": 1},
    ),
)
_LINK: Final = Field(
    name="Link",
    about='Where the next page is, while there is one: `rel="next"`.',
    schema={"type": "string", "pattern": '^</api/[^>]+>; rel="next"$'},
)
_DISPOSITION: Final = Field(
    name="Content-Disposition",
    about="The file's name.",
    schema={"type": "string", "pattern": '^attachment; filename="topups-[0-9TZ]+\\.csv"$'},
    required=True,
)

LIST: Final = Call(
    name="list",
    method="GET",
    path="/api/{merchant}/topups",
    tag="Topups",
    about="List topups, newest first",
    detail="Pages follow a topup's place, which never changes: whatever arrives while you walk, "
    "each topup comes exactly once. An unknown parameter, or one given twice, is refused. The key "
    "needs the scope `topup:read`.",
    key="customer",
    places=(MERCHANT,),
    query=(*_FILTERS, *_PAGES),
    headers=(CUSTOMER_ID, REQUEST_ID),
    answers={200: Answer(about="A page", body=TopupList, headers=(_LINK, ECHO))},
    refusals=KEY_REFUSALS,
)

FILE: Final = Call(
    name="file",
    method="GET",
    path="/api/{merchant}/topups.csv",
    tag="Topups",
    about="Get topups as a file",
    detail="RFC 4180, UTF-8, with a header row, safe to open in a spreadsheet: a cell that begins "
    "with `=`, `+`, `-`, `@` or `'` has an apostrophe in front. A file without its last chunk is "
    "not whole. The key needs the scope `topup:read`.",
    key="customer",
    places=(MERCHANT,),
    query=_FILTERS,
    headers=(CUSTOMER_ID, REQUEST_ID),
    answers={
        200: Answer(
            about="All topups of the filters",
            body={"type": "string"},
            media="text/csv; charset=utf-8; header=present",
            headers=(_DISPOSITION, ECHO),
        )
    },
    refusals=KEY_REFUSALS,
)
