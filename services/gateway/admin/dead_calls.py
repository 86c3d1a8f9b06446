"""What the calls about dead letters are, in the words of the API's description."""

from typing import Annotated, Any, Final, Literal

import msgspec

from services.gateway.admin.lane_calls import ACT_REFUSALS, Why
from services.gateway.calls import Answer, Call, Field
from services.gateway.merchant.replies import Instant, Success
from services.gateway.merchant.topup_calls import KEY_REFUSALS

LETTERS_MAX: Final = 1_000


class Dealt(msgspec.Struct, frozen=True, kw_only=True):
    """Who dealt with it."""

    what: Annotated[str, msgspec.Meta(extra_json_schema={"enum": ["discarded", "redriven"]})]
    by: str
    reason: str
    at: Instant


class LetterShown(msgspec.Struct, frozen=True, kw_only=True):
    """What was put aside, and why."""

    id: Annotated[str, msgspec.Meta(examples=["0.1795471200123-0"])]
    at: Instant
    topup_id: Annotated[str, msgspec.Meta(description="What it says; may be no id at all.")]
    lane: Annotated[str, msgspec.Meta(description="The provider, or `outcomes`.")]
    cause: str
    redrivable: Annotated[
        bool, msgspec.Meta(description="Nothing was ever begun for it; redrive looks closer.")
    ]
    dealt_with: Dealt | None


class LetterList(msgspec.Struct, frozen=True, kw_only=True):
    """The newest first."""

    success: Success = True
    letters: list[LetterShown]


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened to it, or to its topup."""

    at: Instant | None
    what: str


class LetterWhole(msgspec.Struct, frozen=True, kw_only=True):
    """One of them, with what it holds and what became of it; phones are masked."""

    success: Success = True
    letter: LetterShown
    payload: Annotated[Any, msgspec.Meta(description="A request as JSON, or what was found.")]
    source: Annotated[str | None, msgspec.Meta(description="The entry that it is a copy of.")]
    history: list[Event]


class LetterAct(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why."""

    reason: Why


class LettersAsked(msgspec.Struct, frozen=True, kw_only=True):
    """Which of them."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=LETTERS_MAX)] = 100
    all: Literal["true", "false"] = "false"


class LetterDealt(msgspec.Struct, frozen=True, kw_only=True):
    """It is dealt with."""

    success: Success = True
    id: str
    done: Annotated[str, msgspec.Meta(extra_json_schema={"enum": ["discarded", "redriven"]})]
    topup_id: str


LETTER: Final = Field(
    name="letter",
    about="As the list names it.",
    schema={"type": "string", "pattern": "^[^/]+$"},
    example="0.1795471200123-0",
    required=True,
)

LETTERS: Final = Call(
    name="dead_letters",
    method="GET",
    path="/api/admin/dead",
    tag="Admin",
    about="What was put aside for people",
    key="admin",
    query=(
        Field(
            name="limit",
            about="The newest so many.",
            schema={"type": "integer", "minimum": 1, "maximum": LETTERS_MAX, "default": 100},
        ),
        Field(
            name="all",
            about="Those too that were dealt with.",
            schema={"type": "string", "enum": ["true", "false"]},
        ),
    ),
    answers={200: Answer(about="The newest first", body=LetterList)},
    refusals=KEY_REFUSALS,
)
LETTER_SHOW: Final = Call(
    name="dead_letter",
    method="GET",
    path="/api/admin/dead/{letter}",
    tag="Admin",
    about="One of them: cause, payload, history",
    key="admin",
    places=(LETTER,),
    answers={200: Answer(about="It", body=LetterWhole)},
    refusals=(*KEY_REFUSALS, "not_found"),
)
REDRIVE: Final = Call(
    name="dead_redrive",
    method="POST",
    path="/api/admin/dead/{letter}/redrive",
    tag="Admin",
    about="Accept its topup, if nothing was ever begun for it",
    detail="Anything else is 409 and tells why: a topup that may have been sent is never sent "
    "again.",
    key="admin",
    places=(LETTER,),
    body=LetterAct,
    answers={200: Answer(about="It is on its lane", body=LetterDealt)},
    refusals=ACT_REFUSALS,
)
DISCARD: Final = Call(
    name="dead_discard",
    method="POST",
    path="/api/admin/dead/{letter}/discard",
    tag="Admin",
    about="Be done with it",
    detail="It stays for 90 days, and says who was done with it, and why.",
    key="admin",
    places=(LETTER,),
    body=LetterAct,
    answers={200: Answer(about="Done", body=LetterDealt)},
    refusals=ACT_REFUSALS,
)
