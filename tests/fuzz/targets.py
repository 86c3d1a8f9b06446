"""Every parser of bytes from outside that needs no server, with samples of what it should take."""

import gzip
import io
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, NamedTuple

import msgspec

from ops.commands.scale import parse_counts
from ops.commands.stretches import stretch_between
from ops.connections import check_addresses
from ops.errors import CommandFailed
from ops.screens.events import as_line, event_of
from ops.supervisor.folder import Folder
from ops.supervisor.takeover import read_state
from services.dispatcher.attempts import UnreadableEntry, read_sale
from services.dispatcher.providers import dtone_wire, reloadly_wire
from services.dispatcher.providers.adapter import Delivered, NotFound, Refused, Unknown
from services.dispatcher.providers.addresses import provider_url
from services.dispatcher.providers.latcom_wire import classify, read_result
from services.dispatcher.providers.masking import mask
from services.dispatcher.settings import DispatcherSettings
from services.gateway.cursors import cursor_at
from services.gateway.merchant.listings import read_filter, read_page
from services.gateway.merchant.phones import e164
from services.gateway.merchant.preferences import WAIT_S_MAX, preferred_wait_s
from services.gateway.merchant.rules import idempotency_key, read_order
from services.gateway.settings import GatewaySettings
from services.ledger.archive import ArchiveWriter, Header, NotAnArchive, read_archive
from services.ledger.entries import Unreadable, read_outcome, read_request
from services.ledger.evidence import draw_signing_key
from services.ledger.settings import LedgerSettings
from services.ratelimiter.rules import read_request as read_checks
from services.ratelimiter.settings import RatelimiterSettings
from shared.bus.reader import Entry
from shared.bus.records import UnreadableRecord, read_record
from shared.contracts.errors import InvalidRequest, InvalidSettings, TopupError
from shared.contracts.packing import pack
from shared.contracts.peers import Place, TopupFilter
from shared.runtime.settings import load, parse_duration_ms
from shared.web.client import Reply

ID: Final = "019a0000-0000-7000-8000-000000000001"
BODY: Final = b'["r1","C","+525566374683","MX",1000,"MXN","LATCOM","XOOM_10_MXN","k",{"till":3}]'
LANE: Final = "topup:{0}:requests:LATCOM"
OUTCOMES: Final = "topup:{0}:outcomes"
ENTRY: Final = "1795000000000-0"
_LANE_FIELDS: Final = {"id": ID.encode(), "body": BODY, "at": b"1795000000000"}
_EVIDENCE: Final = b'["e1","77",null,{"status":"SUCCESS"},"dispatcher-1#ab",1]'
_TRIED: Final = b'1795000000000 ["a1",1,"send","refused","8",{"status":"Fail"},"d#1",7]\n'
_OUTCOME_FIELDS: Final = {
    **_LANE_FIELDS, "seq": b"1", "state": b"succeeded", "reason": b"", "evidence": _EVIDENCE,
}  # fmt: skip
_RECORD: Final = {
    "v": b"1", "state": b"active", "lane": b"LATCOM", "body": BODY, "at": b"1795000000000",
    "deliver_before": b"1795000600000", "entry": b"1-0", "owner": b"dispatcher-1#ab", "nonce": b"n",
    "mode": b"send", "lease_until": b"1795000060000", "attempt": b"1", "doubt": b"",
    "quarantine_until": b"0", "seq": b"0", "reason": b"", "ref": b"77", "end": b"",
}  # fmt: skip
_ADDRESSES: Final = {
    "DATABASE_URL": "postgresql://u:p@127.0.0.1:5432/d", "LATCOM_URL": "http://127.0.0.1:1",
    "LEDGER_URL": "http://127.0.0.1:2", "RATELIMITER_URL": "http://127.0.0.1:3",
    "RELOADLY_URL": "http://127.0.0.1:4", "RELOADLY_AUTH_URL": "http://127.0.0.1:4",
    "DTONE_URL": "http://127.0.0.1:5",
}  # fmt: skip


class Target(NamedTuple):
    """A parser; `errors` are the documented ones."""

    parse: Callable[[bytes], object]
    samples: list[bytes]
    errors: tuple[type[Exception], ...]


def packed(fields: Mapping[str, bytes]) -> bytes:
    """Return the fields as one sample: so names and values are broken alike."""
    return b"\x1e".join(name.encode() + b"\x1f" + value for name, value in fields.items())


def unpacked(data: bytes) -> dict[str, bytes]:
    """Return fields as a stream would give them."""
    pairs = (part.partition(b"\x1f") for part in data.split(b"\x1e"))
    return {name.decode(errors="replace"): value for name, _, value in pairs}


_LANE_ENTRIES: Final = [packed({"id": ID.encode(), "body": BODY}), packed(_LANE_FIELDS)]
_OUTCOME_ENTRIES: Final = [
    packed(_OUTCOME_FIELDS),
    packed({**_OUTCOME_FIELDS, "evidence": pack(_EVIDENCE), "tried": _TRIED}),
]  # fmt: skip


def _text(data: bytes) -> str:
    """Return what a header or a command line makes of bytes: any at all are text there."""
    return data.decode("latin-1")


def _order(raw: bytes) -> None:
    order = read_order(raw, customer_id="C", key_header=None)
    assert 0 < order.request.amount_minor < 10**11
    assert order.request.phone.startswith("+52")


def _amount(raw: bytes) -> None:
    _order(b'{"phone":"5566374683","amount":' + raw + b',"provider":"LATCOM"}')


def _key(raw: bytes) -> None:
    key = idempotency_key(_text(raw), None)
    assert key is None or (1 <= len(key) <= 255 and key.isascii() and key.isprintable())


def _prefer(raw: bytes) -> None:
    wait_s = preferred_wait_s(_text(raw))
    assert wait_s is None or 0 <= wait_s <= WAIT_S_MAX


def _page(raw: bytes) -> None:
    page = read_page(raw, customer_id="C")
    assert page.customer_id == "C"
    assert 1 <= page.limit <= 100


def _latcom(raw: bytes) -> None:
    """No answer counts that does not name our reference; nothing kept shows the phone."""
    reply = Reply(200, raw)
    answer = classify(reply, ID, lambda said: mask(said, phone="+525566374683", secrets=["s3cret"]))
    assert isinstance(answer, Delivered | Refused | Unknown)
    assert isinstance(answer, Unknown) or ID in str(read_result(reply, ID))
    assert "5566374683" not in answer.raw
    assert "s3cret" not in answer.raw
    assert "\0" not in answer.raw


def _counts(answer: object, raw: bytes, *names: bytes) -> None:
    """A yes names our reference, a no names it or one of the provider's codes."""
    assert isinstance(answer, Delivered | Refused | Unknown | NotFound)
    assert not isinstance(answer, Delivered) or ID in raw.decode(errors="replace")
    assert not isinstance(answer, Refused) or any(name in raw for name in (ID.encode(), *names))
    assert "5566374683" not in answer.raw
    assert "s3cret" not in answer.raw


def _masked(said: bytes | str) -> str:
    return mask(said, phone="+525566374683", secrets=["s3cret"])


def _reloadly(raw: bytes) -> None:
    for status in (200, 400):
        answer = reloadly_wire.classify(Reply(status, raw), ID, _masked)
        _counts(answer, raw, *(code.encode() for code in reloadly_wire.CODES))


def _reloadly_report(raw: bytes) -> None:
    rows = reloadly_wire.found(Reply(200, raw), ID)
    if rows is not None:
        _counts(reloadly_wire.weigh(rows, _masked(raw), _masked), raw)


def _dtone(raw: bytes) -> None:
    for status in (201, 400):
        answer = dtone_wire.classify(Reply(status, raw), ID, _masked)
        _counts(answer, raw, *(str(code).encode() for code in dtone_wire.CODES))


def _dtone_list(raw: bytes) -> None:
    for status in (200, 404):
        _counts(dtone_wire.weigh(Reply(status, raw), ID, _masked), raw)


def _sale(raw: bytes) -> None:
    read_sale(Entry(LANE, ENTRY, unpacked(raw)))


def _event(stream: str) -> Callable[[bytes], object]:
    def show(raw: bytes) -> None:
        line = as_line(event_of(Entry(stream, ENTRY, unpacked(raw))), timezone="UTC")
        assert line.isprintable()

    return show


def _record(raw: bytes) -> None:
    flat = [part for name, value in unpacked(raw).items() for part in (name.encode(), value)]
    read_record(ID, flat)


def _archive(raw: bytes) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder, "x.jsonl.gz")
        path.write_bytes(raw)
        for _ in read_archive(path, count_max=10):
            pass


def _archive_lines(raw: bytes) -> None:
    _archive(gzip.compress(raw, 1))


def _archived() -> bytes:
    file = io.BytesIO()
    writer = ArchiveWriter(file, Header(topup_export=1, made_at="x", first="-", last="+"))
    fields = {**_OUTCOME_FIELDS, "more": b"\xff"}
    writer.add([Entry(LANE, "1-0", dict(_LANE_FIELDS)), Entry(OUTCOMES, "2-0", fields)])
    writer.finish()
    return file.getvalue()


def _state(raw: bytes) -> None:
    with TemporaryDirectory() as name:
        folder = Folder(Path(name))
        folder.state.write_bytes(raw)
        read_state(folder)


def _settings(kind: type[msgspec.Struct]) -> Callable[[bytes], object]:
    def read(raw: bytes) -> None:
        load(kind, {name: _text(value) for name, value in unpacked(raw).items()})

    return read


def _environ(kind: type[msgspec.Struct]) -> bytes:
    """Return every variable of a service as it could be set."""
    values: dict[str, bytes] = {}
    for field in msgspec.structs.fields(kind):
        known = "" if field.default in (msgspec.NODEFAULT, None) else str(field.default)
        if field.name.endswith("_ms"):
            known = f"{known}ms" if known else "10s"
        elif field.encode_name.endswith("_URL"):
            known = _ADDRESSES.get(field.encode_name, "redis://user:word@127.0.0.1:6379/0?a=b")
        elif isinstance(field.default, bool):
            known = "on" if field.default else "off"
        elif field.encode_name == "EVIDENCE_KEY":
            known = draw_signing_key()
        elif field.encode_name == "SESSION_KEY":
            known = "0" * 32
        values[field.encode_name] = (known or "8080").encode()
    return packed(values)


def _addresses(raw: bytes) -> None:
    check_addresses({"REDIS_URL": _text(raw), "LIMITER_REDIS_URL": _text(raw)})


def _stretch(raw: bytes) -> None:
    since, _, until = _text(raw).partition("|")
    stretch_between(since, until or None, timezone="America/Mexico_City")


_ORDERS: Final = [
    b'{"phone":"5566374683","amount":10,"provider":"LATCOM"}',
    b'{"phone":"+52 1 55 6637 4683","amount":"10.00","provider":"LATCOM","currency":"MXN"}',
    (
        b'{"phone":"5566374683","amount":10,"provider":"LATCOM","country":"MX","product":null,'
        b'"reference":"order-4711","metadata":{"a":[1,{"b":"\\u00e9"}]}}'
    ),
]
_RELOADLY_ANSWERS: Final = [
    b'{"transactionId":4602843,"status":"SUCCESSFUL","customIdentifier":"%s"}' % ID.encode(),
    b'{"message":"Not valid","path":"/topups","errorCode":"INVALID_RECIPIENT_PHONE","details":[]}',
]
_RELOADLY_REPORTS: Final = [
    b'{"content":[' + _RELOADLY_ANSWERS[0] + b'],"totalElements":1}', b'{"content":[]}'
]  # fmt: skip
_DTONE_ANSWERS: Final = [
    b'{"id":1,"external_id":"%s","status":{"id":70000,"message":"COMPLETED",' % ID.encode()
    + b'"class":{"id":7,"message":"COMPLETED"}}}',
    b'{"errors":[{"code":1006001,"message":"Insufficient balance"}]}',
]
_ANSWERS: Final = [
    b'{"status":"SUCCESS","transId":77,"distTransid":"%b","venTransid":"5566374683 s3cret"}'
    % ID.encode(),
    b'{"status":"FAIL","vendorResponseCode":"14","vendorResponseMsg":"no","distTransid":"%b"}'
    % ID.encode(),
]
_HERE: Final = cursor_at(Place(1_795_000_000_000, ID), TopupFilter(customer_id="C"))
_FILTERS: Final = [
    b"status=succeeded&provider=LATCOM&phone=%2B525566374683",
    b"from=2026-11-23T00:00:00-06:00&to=2026-11-24T00:00:00Z",
]
_SERVICES: Final[Mapping[str, type[Any]]] = {
    "gateway": GatewaySettings, "ratelimiter": RatelimiterSettings,
    "dispatcher": DispatcherSettings, "ledger": LedgerSettings,
}  # fmt: skip

TARGETS: Final[Mapping[str, Target]] = {
    "orders": Target(_order, _ORDERS, (TopupError,)),
    "amounts": Target(_amount, [b"10", b'"20.00"', b"1e1", b"30.0"], (TopupError,)),
    "phones": Target(
        lambda raw: e164(_text(raw), "MX"), [b"5566374683", b"+52 (55) 6637-4683"], (TopupError,)
    ),
    "idempotency keys": Target(_key, [b"order-4711", b'"a\\"quoted\\"one"'], (InvalidRequest,)),
    "preferences": Target(_prefer, [b"wait=5", b'respond-async, foo="a\\"b"; x, wait="7";p'], ()),
    "pages": Target(_page, [*_FILTERS, b"limit=5", f"cursor={_HERE}".encode()], (InvalidRequest,)),
    "files": Target(lambda raw: read_filter(raw, customer_id="C"), _FILTERS, (InvalidRequest,)),
    "answers of LATCOM": Target(_latcom, _ANSWERS, ()),
    "answers of RELOADLY": Target(_reloadly, _RELOADLY_ANSWERS, ()),
    "reports of RELOADLY": Target(_reloadly_report, _RELOADLY_REPORTS, ()),
    "answers of DTONE": Target(_dtone, _DTONE_ANSWERS, ()),
    "lists of DTONE": Target(_dtone_list, [b"[" + _DTONE_ANSWERS[0] + b"]", b"[]"], ()),
    "lane entries, dispatcher": Target(_sale, _LANE_ENTRIES, (UnreadableEntry,)),
    "lane entries, ledger": Target(
        lambda raw: read_request(ENTRY, unpacked(raw)), _LANE_ENTRIES, (Unreadable,)
    ),
    "outcomes": Target(
        lambda raw: read_outcome(ENTRY, unpacked(raw)),
        _OUTCOME_ENTRIES,
        (Unreadable,),
    ),
    "lane entries on a screen": Target(_event(LANE), _LANE_ENTRIES, ()),
    "outcomes on a screen": Target(_event(OUTCOMES), _OUTCOME_ENTRIES, ()),
    "records": Target(_record, [packed(_RECORD)], (UnreadableRecord,)),
    "checks": Target(
        read_checks, [b'{"gateway":"g1","checks":[["C",200],["D",1]]}'], (InvalidRequest,)
    ),
    "exports": Target(_archive, [_archived()], (NotAnArchive,)),
    "lines of exports": Target(_archive_lines, [gzip.decompress(_archived())], (NotAnArchive,)),
    "state.json": Target(
        _state,
        [
            b'{"supervisor":1,"environment":{"A":"b"},"processes":[{"pid":1,"started":2,"is_server":true}]}'
        ],
        (),
    ),
    **{
        f"settings of the {name}": Target(_settings(kind), [_environ(kind)], (InvalidSettings,))
        for name, kind in _SERVICES.items()
    },
    "addresses": Target(
        _addresses, [b"redis://u:p@[::1]:6379/0", b"rediss://h:1/0?a=b"], (CommandFailed,)
    ),
    "provider's address": Target(
        lambda raw: provider_url(_text(raw), "LATCOM_URL"),
        [b"https://a.example:8443/x"],
        (InvalidSettings,),
    ),
    "durations": Target(lambda raw: parse_duration_ms(_text(raw)), [b"45s", b"7d"], (ValueError,)),
    "stretches": Target(
        _stretch,
        [b"2026-11-23|2026-11-24T10:00:00-06:00", b"1795000000000-0|1795000000001"],
        (CommandFailed,),
    ),
    "counts": Target(lambda raw: parse_counts((_text(raw),)), [b"dispatcher=5"], (CommandFailed,)),
}
