"""What POST and GET of one topup are, in the words of the API's description."""

from typing import Final

import msgspec

from services.gateway.calls import Answer, Call, Example, Field
from services.gateway.merchant.bodies import KEY_CHARACTERS_MAX, TopupBody
from services.gateway.merchant.preferences import WAIT_S_MAX
from services.gateway.merchant.replies import TopupReply
from services.gateway.requests import TOPUP_ID_PATTERN

_KEY_HEADER: Final = r'^([!#-~][!-~]{0,254}|"([!#-\[\]-~]|\\["\\]){1,255}")$'

MERCHANT: Final = Field(
    name="merchant",
    about="The path segment of the key's merchant.",
    schema={"type": "string", "pattern": "^[^/]+$"},
    example="enviadespensa",
    required=True,
)
TOPUP_ID: Final = Field(
    name="topup_id",
    about="As the 202 gave it.",
    schema={"type": "string", "format": "uuid", "pattern": f"^{TOPUP_ID_PATTERN}$"},
    example="0195f2c4-7a1e-7c3b-9a50-2f6d1c0b8e11",
    required=True,
)
CUSTOMER_ID: Final = Field(
    name="x-customer-id",
    about="The key's own customer; any other is 403. Leave it out: the key names the customer.",
)
REQUEST_ID: Final = Field(
    name="x-request-id",
    about="Your name for this request; it comes back in the answer, and stands in our logs. Of "
    "more than 128 characters, or with others than `A-Za-z0-9_.:+/=-`, it does neither.",
    example="till-3-000017",
)
ECHO: Final = Field(name="X-Request-Id", about="Your x-request-id, where it could be a name.")
IDEMPOTENCY_KEY: Final = Field(
    name="Idempotency-Key",
    about=f"1 to {KEY_CHARACTERS_MAX} visible ASCII characters, quoted or bare alike. A repeat "
    "with the same key and body is the same topup, on whichever gateway; with another body 422.",
    schema={"type": "string", "pattern": _KEY_HEADER},
    example="order-4711",
)
PREFER: Final = Field(
    name="Prefer",
    about=f"`wait=N`: answer when the topup is at rest, after N seconds at the latest; at most "
    f"{WAIT_S_MAX}. What cannot be read is ignored (RFC 7240).",
    example="wait=10",
)
LIMITS: Final = (
    Field(
        name="RateLimit-Policy",
        about="The customer's limit: `q` requests in any `w` seconds.",
        schema={"type": "string", "pattern": '^"customer";q=[0-9]+;w=60$'},
        example='"customer";q=200;w=60',
        required=True,
    ),
    Field(
        name="RateLimit",
        about="`r` requests are left; in `t` seconds the next place is given back.",
        schema={"type": "string", "pattern": '^"customer";r=[0-9]+;t=[0-9]+$'},
        example='"customer";r=199;t=60',
        required=True,
    ),
)
REPLAYED: Final = Field(
    name="Idempotent-Replayed",
    about="The topup is from an earlier request with this key.",
    schema={"const": "true"},
)
PREFERENCE_APPLIED: Final = Field(
    name="Preference-Applied",
    about="For how long at most the answer has waited; without it, it came at once.",
    schema={"type": "string", "pattern": "^wait=[0-9]{1,2}$"},
    example="wait=10",
)
KEY_REFUSALS: Final = ("unauthorized", "forbidden", "unavailable")
_BODY: Final = {"phone": "5566374683", "amount": 10, "provider": "LATCOM"}
_LIMITS_PERHAPS: Final = tuple(msgspec.structs.replace(field, required=False) for field in LIMITS)
_ACCEPTED: Final = (*LIMITS, REPLAYED, PREFERENCE_APPLIED, ECHO)

ACCEPT: Final = Call(
    name="accept",
    method="POST",
    path="/api/{merchant}/topup",
    tag="Topups",
    about="Make a topup",
    detail="The 202 is a promise that the topup is on disk. Send an Idempotency-Key with each "
    "order, and repeat it until there is an answer: it is never a second topup. The key needs the "
    "scope `topup:write`.",
    key="customer",
    places=(MERCHANT,),
    headers=(IDEMPOTENCY_KEY, PREFER, CUSTOMER_ID, REQUEST_ID),
    body=TopupBody,
    examples={
        "succeeds": Example(about="Credited", value=_BODY),
        "complete": Example(
            about="With all that may be said",
            value={
                "phone": "+525512345678",
                "amount": "50.00",
                "provider": "LATCOM",
                "currency": "MXN",
                "country": "MX",
                "product": "TFE_MXN_20_TO_2000",
                "metadata": {"till": 3},
            },
        ),
        "fails": Example(
            about="Refused by the sandbox's provider", value=_BODY | {"phone": "5512345901"}
        ),
    },
    answers={
        202: Answer(
            about="Accepted, or a repeat, and not yet final",
            body=TopupReply,
            headers=_ACCEPTED,
        ),
        200: Answer(
            about="A repeat, or `Prefer: wait`, and the topup is final",
            body=TopupReply,
            headers=_ACCEPTED,
        ),
    },
    refusals=(
        *KEY_REFUSALS,
        "invalid_json",
        "unsupported_media_type",
        "invalid_phone",
        "invalid_amount",
        "unknown_provider",
        "idempotency_mismatch",
        "rate_limited",
        "not_known",
    ),
    refusal_headers={422: _LIMITS_PERHAPS, 429: LIMITS},
)

SHOW: Final = Call(
    name="show",
    method="GET",
    path="/api/{merchant}/topups/{topup_id}",
    tag="Topups",
    about="Show a topup as it is now",
    detail="Each gateway knows it as soon as its 202 is out. The key needs the scope `topup:read`.",
    key="customer",
    places=(MERCHANT, TOPUP_ID),
    headers=(CUSTOMER_ID, REQUEST_ID),
    answers={200: Answer(about="The topup", body=TopupReply, headers=(ECHO,))},
    refusals=(*KEY_REFUSALS, "not_found"),
)
