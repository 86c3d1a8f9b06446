"""`topup asyncapi`: the streams, described as AsyncAPI 3 from the structs that travel on them.

An entry's fields are text. What JSON in them holds is their `contentSchema`; what AsyncAPI has no
word for (groups, trimming) stands under `x-redis-stream`.
"""

import inspect
import json
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from shared.contracts.events import Evidence, TopupRequested
from shared.contracts.limits import KEYS_ANNOUNCED_MAX
from shared.contracts.peers import ApiKey, OperatorKey
from shared.contracts.states import SETTLED, Reason
from shared.contracts.streams import DISPATCHER_GROUP, KEYS_STREAM, LEDGER_GROUP, PartitionKeys
from shared.runtime.instance import product_version

Schema = Mapping[str, Any]

_STRUCTS: Final = (TopupRequested, Evidence, ApiKey, OperatorKey)
_REFERENCE: Final = "#/components/schemas/{name}/schema"
_SCHEMA_FORMAT: Final = "application/schema+json;version=draft-2020-12"
_TAG: Final = "{hashTag}"
_RETAINED: Final = "by the ledger: older than STREAM_RETENTION and acknowledged by every group"
_PARAMETERS: Final = {
    "hashTag": {
        "description": "The partition in braces, so that all its keys share one slot of a cluster.",
        "examples": ["{0}"],
    },
    "provider": {"description": "Whose lane it is.", "examples": ["LATCOM"]},
}


class _Stream(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    address: str
    about: str
    fields: Mapping[str, Schema]
    optional: frozenset[str] = frozenset()
    senders: tuple[str, ...]
    groups: tuple[str, ...] = ()
    tailed_by: tuple[str, ...] = ()
    trimmed: str


def _text(about: str, **more: Any) -> Schema:  # noqa: ANN401 - any keyword of JSON Schema
    return {"type": "string", "description": about, **more}


def _json(about: str, struct: type[msgspec.Struct]) -> Schema:
    content = {"$ref": _REFERENCE.format(name=struct.__name__)}
    return _text(about, contentMediaType="application/json", contentSchema=content)


_ID: Final = _text("The topup.", format="uuid")
_BODY: Final = _json("All that the merchant asked for.", TopupRequested)
_AT: Final = _text(
    "When it was accepted: milliseconds since the epoch. Without it, the entry's id says so.",
    pattern="^[0-9]+$",
)
_OF_PARTITION: Final = PartitionKeys(0)

STREAMS: Final = (
    _Stream(
        name="requests",
        address=_OF_PARTITION.requests("{provider}").replace("{0}", _TAG),
        about="Topups to be made by one provider: accepted just now, or woken after a wait.",
        fields={
            "id": _ID,
            "body": _BODY,
            "at": _AT,
            "again": _text("It was parked, or on another lane, and is back.", const="1"),
            "from": _text("With provider AUTO: the lane that it comes from."),
            "why": _text("Why it left that.", enum=["refused", "no", "not_sent", "hold", "held"]),
        },
        optional=frozenset({"at", "again", "from", "why"}),  # a first entry's id is the time
        senders=("gateway", "dispatcher"),
        groups=(DISPATCHER_GROUP, LEDGER_GROUP),
        trimmed=_RETAINED,
    ),
    _Stream(
        name="outcomes",
        address=_OF_PARTITION.outcomes.replace("{0}", _TAG),
        about="What became of topups. A later one of the same topup has a higher `seq`.",
        fields={
            "id": _ID,
            "seq": _text("The number of this outcome of the topup.", pattern="^[1-9][0-9]*$"),
            "state": _text("How it ended.", enum=sorted(SETTLED)),
            "body": _BODY,
            "at": _AT,
            "reason": _text("Why, where there is something to say.", enum=["", *Reason]),
            "evidence": _json(
                "What it rests on; empty where nobody was asked. Where it begins with the byte 1, "
                "it is packed as `shared/contracts/packing.py` says.",
                Evidence,
            ),
            "tried": _text(
                "The attempts that did not settle it, a line each: the time in milliseconds, a "
                "space, and the array of `shared/contracts/tries.py`."
            ),
            "provider": _text("With provider AUTO: whose outcome this is, if anybody knows."),
        },
        optional=frozenset({"tried", "provider"}),  # nearly all end with their first attempt
        senders=("dispatcher",),
        groups=(LEDGER_GROUP,),
        tailed_by=("gateway",),
        trimmed=_RETAINED,
    ),
    _Stream(
        name="acts",
        address=_OF_PARTITION.acts.replace("{0}", _TAG),
        about="What operators did, and what lanes did by themselves, for the audit.",
        fields={
            "id": _text("The act; told twice, it is the same.", format="uuid"),
            "at": _text("When: milliseconds since the epoch.", pattern="^[0-9]+$"),
            "who": _text("An operator, or one life of one process."),
            "act": _text("What.", examples=["lane.hold", "topup.resolve", "dead.redrive"]),
            "target": _text("The lane or topup."),
            "why": _text("What the person or the process says of it."),
            "before": _text("How it was, as JSON.", contentMediaType="application/json"),
            "after": _text("How it is, as JSON.", contentMediaType="application/json"),
        },
        senders=("gateway", "dispatcher", "ledger"),
        groups=(LEDGER_GROUP,),
        trimmed=_RETAINED,
    ),
    _Stream(
        name="dead",
        address=_OF_PARTITION.dead.replace("{0}", _TAG),
        about="Copies of what could not be read or must be looked at, for people.",
        fields={
            "id": _text("What it says that its topup is."),
            "lane": _text("The provider, or the stream's last part."),
            "reason": _text("Why it is here."),
            "payload": _text("What was found: any bytes."),
            "entry": _text("The id of the entry that it is a copy of.", pattern="^[0-9]+-[0-9]+$"),
            "sent": _text("`no`: nothing was ever begun for it.", pattern="^no$"),
        },
        optional=frozenset({"entry", "sent"}),
        senders=("dispatcher", "ledger"),
        trimmed="90 days later, of what people have dealt with",
    ),
    _Stream(
        name="keys",
        address=KEYS_STREAM,
        about="Keys as they are from now on, also those that have ended.",
        fields={
            "key": _json("A customer's key, without its secret.", ApiKey),
            "operator": _json("An operator's key, without its secret.", OperatorKey),
        },
        optional=frozenset({"key", "operator"}),  # one of them
        senders=("operators",),
        tailed_by=("gateway",),
        trimmed=f"to about {KEYS_ANNOUNCED_MAX} entries; gateways ask the ledger for all of them",
    ),
)


def asyncapi() -> None:
    """Print the document that `docs/asyncapi.json` holds."""
    print(json.dumps(document(), indent=2))


def document() -> dict[str, Any]:
    """Return AsyncAPI 3 of every stream."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "topup: the streams",
            "version": product_version(),
            "description": "How topups travel between services, on streams of Valkey. Bodies are "
            "JSON arrays that begin with their tag; fields are only ever added at the end.",
        },
        "defaultContentType": "application/json",
        "channels": {stream.name: _channel(stream) for stream in STREAMS},
        "operations": _operations(),
        "components": {
            "schemas": {
                name: {"schemaFormat": _SCHEMA_FORMAT, "schema": schema}
                for name, schema in _schemas().items()
            },
            "messages": {stream.name: _message(stream) for stream in STREAMS},
        },
    }


def _channel(stream: _Stream) -> dict[str, Any]:
    channel: dict[str, Any] = {
        "address": stream.address,
        "description": stream.about,
        "messages": {stream.name: {"$ref": f"#/components/messages/{stream.name}"}},
        "x-redis-stream": {
            "groups": list(stream.groups),
            "tailedBy": list(stream.tailed_by),
            "trimmed": stream.trimmed,
        },
    }
    parameters = {
        name: said for name, said in _PARAMETERS.items() if f"{{{name}}}" in channel["address"]
    }
    return channel | ({"parameters": parameters} if parameters else {})


def _message(stream: _Stream) -> dict[str, Any]:
    return {
        "summary": stream.about,
        "payload": {
            "schemaFormat": _SCHEMA_FORMAT,
            "schema": {
                "type": "object",
                "properties": stream.fields,
                "required": [name for name in stream.fields if name not in stream.optional],
                "additionalProperties": False,
            },
        },
    }


def _operations() -> dict[str, Any]:
    operations: dict[str, Any] = {}
    for stream in STREAMS:
        readers = dict.fromkeys((*stream.groups, *stream.tailed_by))
        for action, services in (("send", stream.senders), ("receive", readers)):
            for service in services:
                operations[f"{service}-{action}-{stream.name}"] = {
                    "action": action,
                    "channel": {"$ref": f"#/channels/{stream.name}"},
                    "messages": [{"$ref": f"#/channels/{stream.name}/messages/{stream.name}"}],
                }
    return operations


def _schemas() -> dict[str, Any]:
    """Return the structs' schemas; an array's places get the names of the fields."""
    _, found = msgspec.json.schema_components(_STRUCTS, ref_template=_REFERENCE)
    for struct in _STRUCTS:
        schema = found[struct.__name__]
        schema["description"] = inspect.cleandoc(schema["description"])
        names = ("tag", *struct.__struct_fields__)
        for place, name in zip(schema.get("prefixItems", ()), names, strict=False):
            place["title"] = name
    return found
