"""The conformance kit: what it must know of a provider to hold its adapter to the contract.

One `Kit` for each adapter, and every test of the kit runs over all of them. A new adapter brings a
stand-in in the sandbox and one more `Kit`; docs/adapters.md tells how.
"""

import base64
import secrets
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from services.dispatcher.providers.adapter import Provider
from services.dispatcher.providers.dtone import Dtone, DtoneSettings
from services.dispatcher.providers.latcom import Latcom, LatcomSettings
from services.dispatcher.providers.reloadly import Reloadly, ReloadlySettings
from services.dispatcher.rules import reference_of
from tests.contract.providers.sales import Attempt, Sale, sale
from tests.contract.providers.sandboxes import ACCESS

Said = tuple[object, int]
"""A body and its HTTP status."""


class Kit(msgspec.Struct, frozen=True, kw_only=True):
    """One provider, as far as the kit must know its wire."""

    name: str
    prefix: str  # where the sandbox has its wire
    adapter: Callable[..., Provider]  # (url, timeout_ms=1_000, monotonic=…, **wrong access)
    settings: Callable[[str], object]
    product: str
    paying: str  # the path of the paying request
    free: tuple[str, ...] = ()  # what is asked before it, in this order
    login: str = ""  # which of these is a login
    wrong: Mapping[str, Any]  # an access that is refused
    hold: str  # the code of that hold
    unauthorized: Said
    paid: Callable[[str], Said]
    refusals: Mapping[str, tuple[Callable[[str], Said], str, str]]  # said, kind, code
    doubts: Mapping[str, Callable[[str], Said]]
    words: Callable[[str, str], Said]  # a final refusal of this reference in these words
    secret: tuple[str, ...]
    history: Callable[[str, Mapping[str, str]], Said] | None = None  # what an inquiry is told

    def sale(self, ending: str = "123", **fields: Any) -> Sale:
        """Return a sale to a phone with this ending."""
        return sale(ending, **{"product": self.product} | fields)

    def at(self, url: str) -> str:
        """Return the sandbox's address for this adapter."""
        return url + self.prefix

    def attempt(self, wanted: Sale, number: int = 1, *rights: bool) -> Attempt:
        """Return an attempt with the reference that the dispatcher would give it."""
        return Attempt(self.reference(wanted, number), *rights)

    def reference(self, wanted: Sale, number: int = 1) -> str:
        """Return what the provider calls this attempt."""
        return reference_of(self.facts, wanted.topup_id, number)

    @property
    def facts(self) -> Any:
        """What the adapter declares."""
        return self.adapter("http://127.0.0.1:9").facts


def unique(prefix: str = "topup") -> str:
    """Return an id that no other test has."""
    return f"{prefix}-{secrets.token_hex(8)}"


# -- LATCOM ----------------------------------------------------------------------------------------


def latcom_settings(url: str, **fields: object) -> LatcomSettings:
    """Return settings with the credentials that the sandbox wants."""
    wanted = {
        "url": url,
        "username": ACCESS["LATCOM_USERNAME"],
        "password": ACCESS["LATCOM_PASSWORD"],
        "dist_api": ACCESS["LATCOM_DIST_API"],
        "user_uid": ACCESS["LATCOM_USER_UID"],
        "timeout_ms": 1_000,
        **fields,
    }
    return msgspec.convert(wanted, LatcomSettings)


def _latcom(
    url: str, monotonic: Callable[[], float] = time.monotonic, **fields: object
) -> Provider:
    return Latcom(latcom_settings(url, **fields), monotonic=monotonic)


def latcom_says(reference: str | None, **fields: object) -> dict[str, object]:
    """Return LATCOM's success, but for these fields."""
    return {
        "status": "Success",
        "transId": "T1",
        "venTransid": "V1",
        "vendorResponseCode": "0",
        "vendorResponseMsg": "ok",
        "distTransid": reference,
        **fields,
    }


NO: Final = {"status": "Fail", "transId": ""}


def _no(message: str = "Subscriber not eligible", code: object = 14) -> Callable[[str], Said]:
    words = {**NO, "vendorResponseCode": code, "vendorResponseMsg": message}
    return lambda ref: (latcom_says(ref, **words), 200)


def _fail_with(status: int) -> Callable[[str], Said]:
    return lambda ref: (latcom_says(ref, **NO), status)


LATCOM = Kit(
    name="LATCOM",
    prefix="",
    adapter=_latcom,
    settings=latcom_settings,
    product="XOOM_10_MXN",
    paying="/api/tn/fast",
    free=("/api/dislogin",),
    login="/api/dislogin",
    wrong={"password": "not the password"},
    hold="login_401",
    unauthorized=({}, 401),
    paid=lambda ref: (latcom_says(ref, status="SUCCESS", transId=77, more={"new": 1}), 200),
    refusals={
        "final": (_no(), "final", "14"),
        "without words": (_no(""), "final", "14"),
        "in spanish": (_no("No existe el numero"), "final", "14"),
        "retry": (_no("busy", "SBX_TRY_AGAIN"), "retry", "SBX_TRY_AGAIN"),
        "hold": (_no("empty", "SBX_WALLET_EMPTY"), "hold", "SBX_WALLET_EMPTY"),
    },
    doubts={
        "success of another": lambda _: (latcom_says("another"), 200),
        "success of nobody": lambda _: (latcom_says(None), 200),
        "success of nearly": lambda ref: (latcom_says(ref + " "), 200),
        "refusal of another": lambda _: (latcom_says("another", **NO), 200),
        "refusal of nobody": lambda _: (latcom_says(None, **NO), 200),
        "duplicate": _no("Duplicate reference"),
        "duplicada": _no("Transaccion DUPLICADA"),
        "already": _no("already processed"),
        "time out": _no("Vendor time out"),
        "timed out": _no("Timed out"),
        "timeout code": _no("", "TIMEOUT"),
        "in process": _no("en proceso"),
        "pending": lambda ref: (latcom_says(ref, status="Pending"), 200),
        "no status": lambda ref: (latcom_says(ref, status=""), 200),
        "null status": lambda ref: (latcom_says(ref, status=None), 200),
        "only our id": lambda ref: ({"distTransid": ref}, 200),
        "a list": lambda ref: ([latcom_says(ref)], 200),
        "two statuses": lambda ref: (
            b'{"status":"Fail","status":"Success","distTransid":"%s"}' % ref.encode(),
            200,
        ),
        "two ids": lambda ref: (
            b'{"status":"Fail","distTransid":"x","distTransid":"%s"}' % ref.encode(),
            200,
        ),
        **{f"fail {status}": _fail_with(status) for status in (400, 409, 500, 503)},
    },
    words=lambda ref, words: _no(words)(ref),
    secret=tuple(value for name, value in ACCESS.items() if name.startswith("LATCOM_")),
)


# -- Reloadly --------------------------------------------------------------------------------------


def _reloadly_settings(url: str, **fields: object) -> ReloadlySettings:
    wanted = {
        "url": url,
        "auth_url": url,
        "client_id": ACCESS["RELOADLY_CLIENT_ID"],
        "client_secret": ACCESS["RELOADLY_CLIENT_SECRET"],
        "timeout_ms": 1_000,
        **fields,
    }
    return msgspec.convert(wanted, ReloadlySettings)


def _reloadly(
    url: str, monotonic: Callable[[], float] = time.monotonic, **fields: object
) -> Provider:
    return Reloadly(_reloadly_settings(url, **fields), monotonic=monotonic)


def reloadly_says(reference: str | None, **fields: object) -> dict[str, object]:
    """Return Reloadly's success, but for these fields."""
    return {
        "transactionId": 4602843,
        "status": "SUCCESSFUL",
        "operatorTransactionId": None,
        "customIdentifier": reference,
        "operatorId": 9001,
        **fields,
    }


def _reloadly_no(code: object, status: int = 400, message: str = "no") -> Callable[[str], Said]:
    body = {"message": message, "path": "/topups", "errorCode": code, "details": []}
    return lambda _: (body, status)


def _reloadly_history(reference: str, said: Mapping[str, str]) -> Said:
    rows = [
        reloadly_says(f"{reference}{suffix}", status=status, transactionId=77)
        for suffix, status in said.items()
    ]
    return {"content": rows, "totalElements": len(rows)}, 200


RELOADLY = Kit(
    name="RELOADLY",
    prefix="/reloadly",
    adapter=_reloadly,
    settings=_reloadly_settings,
    product="RELOADLY_MXN_10_TO_2000",
    paying="/topups",
    free=("/oauth/token", "/operators/auto-detect/phone"),
    login="/oauth/token",
    wrong={"client_secret": "not the secret"},
    hold="login_401",
    unauthorized=({"errorCode": "TOKEN_EXPIRED", "message": "x"}, 401),
    paid=lambda ref: (reloadly_says(ref, transactionId=77, more={"new": 1}), 200),
    refusals={
        "final": (_reloadly_no("INVALID_AMOUNT"), "final", "INVALID_AMOUNT"),
        "number": (_reloadly_no("INVALID_RECIPIENT_PHONE"), "number", "INVALID_RECIPIENT_PHONE"),
        "no number": (_reloadly_no("INVALID_PHONE_NUMBER"), "number", "INVALID_PHONE_NUMBER"),
        "refunded": (
            lambda ref: (reloadly_says(ref, status="REFUNDED"), 200),
            "final",
            "REFUNDED",
        ),
        "failed": (lambda ref: (reloadly_says(ref, status="FAILED"), 200), "final", "FAILED"),
        "retry": (
            _reloadly_no("PHONE_RECENTLY_RECHARGED"),
            "retry",
            "PHONE_RECENTLY_RECHARGED",
        ),
        "throttled": (_reloadly_no("RATE_LIMIT_REACHED", 429), "retry", "RATE_LIMIT_REACHED"),
        "hold": (_reloadly_no("INSUFFICIENT_BALANCE", 403), "hold", "INSUFFICIENT_BALANCE"),
    },
    doubts={
        "success of another": lambda _: (reloadly_says("another"), 200),
        "success of nobody": lambda _: (reloadly_says(None), 200),
        "success without a status": lambda ref: (reloadly_says(ref, status=None), 200),
        "failure of another": lambda _: (reloadly_says("another", status="REFUNDED"), 200),
        "processing": lambda ref: (reloadly_says(ref, status="PROCESSING"), 200),
        "a new status": lambda ref: (reloadly_says(ref, status="PARTIAL"), 200),
        "used": _reloadly_no("CUSTOM_IDENTIFIER_ALREADY_USED"),
        "used, in words": _reloadly_no("INVALID_AMOUNT", message="duplicate identifier"),
        "failed for various reasons": _reloadly_no("TOPUP_TRANSACTION_FAILED"),
        "not at the moment": _reloadly_no("TRANSACTION_CANNOT_BE_PROCESSED_AT_THE_MOMENT"),
        "a new code": _reloadly_no("PROVIDER_TIMED_OUT"),
        "no code": _reloadly_no(None),
        "a code with 500": _reloadly_no("INSUFFICIENT_BALANCE", 500),
        "a code with 200": _reloadly_no("INSUFFICIENT_BALANCE", 200),
        "two codes": lambda _: (b'{"errorCode":"X","errorCode":"INVALID_AMOUNT"}', 400),
        "not found": lambda _: ({"status": 404, "error": "Not Found", "path": "/topup"}, 404),
    },
    words=lambda ref, words: _reloadly_no("INVALID_RECIPIENT_PHONE", message=f"{ref} {words}")(ref),
    secret=(ACCESS["RELOADLY_CLIENT_ID"], ACCESS["RELOADLY_CLIENT_SECRET"]),
    history=_reloadly_history,
)


# -- DT One ----------------------------------------------------------------------------------------


def _dtone_settings(url: str, **fields: object) -> DtoneSettings:
    wanted = {
        "url": url,
        "api_key": ACCESS["DTONE_API_KEY"],
        "api_secret": ACCESS["DTONE_API_SECRET"],
        "product_id": int(ACCESS["DTONE_PRODUCT_ID"]),
        "timeout_ms": 1_000,
        **fields,
    }
    return msgspec.convert(wanted, DtoneSettings)


def _dtone(url: str, **fields: object) -> Provider:
    return Dtone(_dtone_settings(url, **fields))


def dtone_says(reference: str | None, status: str = "COMPLETED", **fields: object) -> Any:
    """Return DT One's transaction with this status, but for these fields."""
    of = {"id": 7, "message": status.partition("-")[0]}
    return {
        "id": 77,
        "external_id": reference,
        "status": {"id": 70000, "message": status, "class": of},
        **fields,
    }


def _dtone_no(*codes: object, status: int = 400, message: str = "no") -> Callable[[str], Said]:
    body = {"errors": [{"code": code, "message": message} for code in codes]}
    return lambda _: (body, status)


def _dtone_ends(status: str) -> Callable[[str], Said]:
    return lambda ref: (dtone_says(ref, status), 201)


def _dtone_history(reference: str, said: Mapping[str, str]) -> Said:
    if not said:
        return {"errors": [{"code": 1008004, "message": "Transaction not found"}]}, 404
    return [dtone_says(f"{reference}{suffix}", status) for suffix, status in said.items()], 200


DTONE = Kit(
    name="DTONE",
    prefix="/dtone",
    adapter=_dtone,
    settings=_dtone_settings,
    product="DTONE_MXN_10_TO_2000",
    paying="/v1/sync/transactions",
    wrong={"api_secret": "not the secret"},
    hold="1000401",
    unauthorized=({"errors": [{"code": 1000401, "message": "Unauthorized"}]}, 401),
    paid=lambda ref: (dtone_says(ref, more={"new": 1}), 201),
    refusals={
        "declined": (_dtone_ends("DECLINED"), "final", "DECLINED"),
        "barred": (
            _dtone_ends("DECLINED-BARRED-CREDIT-PARTY"),
            "number",
            "DECLINED-BARRED-CREDIT-PARTY",
        ),
        "no number": (_dtone_no(1005003), "number", "1005003"),
        "no such number": (
            _dtone_ends("DECLINED-INVALID-CREDIT-PARTY"),
            "number",
            "DECLINED-INVALID-CREDIT-PARTY",
        ),
        "a new reason of a known class": (
            _dtone_ends("REJECTED-FOR-SOMETHING-NEW"),
            "final",
            "REJECTED-FOR-SOMETHING-NEW",
        ),
        "cancelled": (_dtone_ends("CANCELLED"), "final", "CANCELLED"),
        "out of range": (_dtone_no(1003002), "final", "1003002"),
        "retry": (
            _dtone_ends("DECLINED-OPERATOR-CURRENTLY-UNAVAILABLE"),
            "retry",
            "DECLINED-OPERATOR-CURRENTLY-UNAVAILABLE",
        ),
        "throttled": (_dtone_no(1000429, status=429), "retry", "1000429"),
        "hold": (_dtone_no(1006001), "hold", "1006001"),
        "rejected for our balance": (
            _dtone_ends("REJECTED-INSUFFICIENT-BALANCE"),
            "hold",
            "REJECTED-INSUFFICIENT-BALANCE",
        ),
    },
    doubts={
        "success of another": lambda _: (dtone_says("another"), 201),
        "success of nobody": lambda _: (dtone_says(None), 201),
        "no of another": lambda _: (dtone_says("another", "DECLINED"), 201),
        "created": _dtone_ends("CREATED"),
        "confirmed": _dtone_ends("CONFIRMED"),
        "submitted": _dtone_ends("SUBMITTED"),
        "reversed": _dtone_ends("REVERSED"),
        "a new class": _dtone_ends("EXPIRED"),
        "duplicated": _dtone_ends("DECLINED-DUPLICATED-TRANSACTION"),
        "used": _dtone_no(1007001),
        "used, in words": _dtone_no(1003002, message="external id was already used"),
        "a new code": _dtone_no(1009999),
        "one code of two is new": _dtone_no(1003002, 1009999),
        "unexpected": _dtone_no(1009001, status=500),
        "unavailable": _dtone_no(1009503, status=503),
        "a code with 500": _dtone_no(1006001, status=500),
        "no code": _dtone_no(),
        "no status": lambda ref: (dtone_says(ref, status=""), 201),
        "a list": lambda ref: ([dtone_says(ref)], 201),
    },
    words=lambda ref, words: _dtone_no(1003002, message=f"{ref} {words}")(ref),
    secret=(
        ACCESS["DTONE_API_KEY"],
        ACCESS["DTONE_API_SECRET"],
        base64.b64encode(
            f"{ACCESS['DTONE_API_KEY']}:{ACCESS['DTONE_API_SECRET']}".encode()
        ).decode(),
    ),
    history=_dtone_history,
)

KITS: Final = (LATCOM, RELOADLY, DTONE)
WITH_TOKEN: Final = [kit for kit in KITS if kit.login]
ASKABLE: Final = [kit for kit in KITS if kit.history]
