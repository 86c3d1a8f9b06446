"""Who may come in: all keys of customers and operators in memory, followed as they change.

Two sources: the ledger's list, asked for at start and again every `KEYS_RENEW_S`, and the stream
`topup:keys`, which tells of a change at once. Stale means: the ledger has not confirmed the list
for KEY_STALE_MAX. The stream alone does not make it fresh: it proves that Redis lives, not that
whoever revokes keys could still announce it.
"""

import asyncio
from hashlib import sha256
from hmac import compare_digest
from typing import Final

import msgspec
import structlog
from redis.exceptions import RedisError

from services.gateway import metrics
from services.gateway.peers import Ledger, PeerSilent
from shared.bus.reader import read_after
from shared.contracts.limits import KEYS_RENEW_S
from shared.contracts.peers import ApiKey, OperatorKey
from shared.contracts.streams import KEYS_STREAM
from shared.runtime.clock import Clock
from shared.runtime.redis import Client

RETRY_S: Final = 0.5
BLOCK_MS: Final = 1_000
READ_MAX: Final = 1_000
PAYLOAD: Final = "key"
OPERATOR_PAYLOAD: Final = "operator"

log = structlog.get_logger()

Place = tuple[int, int]
Change = ApiKey | OperatorKey
_NOBODY: Final = sha256(b"").hexdigest()


class Keyring:
    """All keys, and how old that knowledge is."""

    def __init__(self, ledger: Ledger, client: Client, clock: Clock, *, stale_ms: int) -> None:
        self._ledger = ledger
        self._client = client
        self._clock = clock
        self._stale_s = stale_ms / 1_000
        self._keys: dict[str, ApiKey] = {}
        self._operators: dict[str, OperatorKey] = {}
        self._changes: list[tuple[Place, Change]] = []  # told since the list was made
        self._place: Place = (0, 0)
        self._used: set[str] = set()
        self._confirmed: float | None = None
        self._renew_now = asyncio.Event()
        metrics.KEYS_AGE_SECONDS.set_function(lambda: self.age_s or 0.0)
        metrics.KEYS_HELD.set_function(lambda: len(self._keys))

    def find(self, secret: str) -> ApiKey | None:
        """Return the working key; a wrong one takes as long as a right one."""
        hashed = sha256(secret.encode()).hexdigest()
        found = self._keys.get(hashed)
        same = compare_digest(hashed, found.sha256 if found is not None else _NOBODY)
        if found is None or not same:
            return None
        if found.expires_at_ms is not None and found.expires_at_ms <= self._clock.now_ms():
            return None
        self._used.add(hashed)
        return found

    def operator(self, secret: str) -> str | None:
        """Return the name of the operator whose working key this is."""
        hashed = sha256(secret.encode()).hexdigest()
        found = self._operators.get(hashed)
        same = compare_digest(hashed, found.sha256 if found is not None else _NOBODY)
        return found.name if found is not None and same else None

    def hashes_of(self, operator: str) -> list[str]:
        """Return the SHA-256 of each working key of this person."""
        return [key.sha256 for key in self._operators.values() if key.name == operator]

    @property
    def has_operators(self) -> bool:
        """Whether anybody is an operator."""
        return bool(self._operators)

    def take_used(self) -> set[str]:
        """Return the hashes of the keys that were found since the last time this was asked."""
        used, self._used = self._used, set()
        return used

    @property
    def age_s(self) -> float | None:
        """Seconds since the ledger last confirmed the keys; None: never."""
        return None if self._confirmed is None else self._clock.monotonic() - self._confirmed

    @property
    def is_stale(self) -> bool:
        """Whether the keys are too old to let anybody in."""
        age_s = self.age_s
        return age_s is None or age_s > self._stale_s

    async def renew(self) -> None:
        """Take the ledger's list, and on top of it what was told since that was made.

        Raises:
            PeerSilent: the ledger cannot be asked; what we have stays.
        """
        asked = self._clock.monotonic()
        snapshot = await self._ledger.keys()
        as_of = place_of(snapshot.as_of)
        keys = {key.sha256: key for key in snapshot.keys if key.active}
        operators = {key.sha256: key for key in snapshot.operators if key.active}
        self._changes = [change for change in self._changes if change[0] > as_of]
        for _, key in self._changes:
            _apply(keys, operators, key)
        self._keys, self._operators = keys, operators
        self._place = max(self._place, as_of)
        self._confirmed = asked

    async def keep_renewed(self) -> None:
        """Ask for the list again and again until cancelled; often while that fails."""
        wait_s = min(KEYS_RENEW_S, self._stale_s / 3)
        while True:
            try:
                async with asyncio.timeout(wait_s):
                    await self._renew_now.wait()
            except TimeoutError:
                pass
            self._renew_now.clear()
            try:
                await self.renew()
                wait_s = min(KEYS_RENEW_S, self._stale_s / 3)
            except PeerSilent as error:
                wait_s = RETRY_S
                log.warning("keys_not_renewed", problem=str(error), age_s=self.age_s)

    async def follow(self) -> None:
        """Apply each announced change at once, until cancelled; after a break from the last one."""
        while True:
            try:
                await self._read()
            except (RedisError, OSError) as error:
                log.warning("keys_stream_lost", problem=str(error) or type(error).__name__)
                await asyncio.sleep(RETRY_S)

    async def _read(self) -> None:
        after = f"{self._place[0]}-{self._place[1]}"
        places = {KEYS_STREAM: after}
        for entry in await read_after(self._client, places, count_max=READ_MAX, block_ms=BLOCK_MS):
            self._take(place_of(entry.id), entry.fields)

    def _take(self, place: Place, fields: dict[str, bytes]) -> None:
        if place <= self._place:
            return  # the list that came meanwhile has it
        self._place = place
        try:
            key = _read(fields)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            log.error("keys_entry_unreadable", place=place, problem=str(error))  # noqa: TRY400
            self._renew_now.set()  # it may have been a revocation: ask the ledger itself
            return
        self._changes.append((place, key))
        _apply(self._keys, self._operators, key)
        whose = key.name if isinstance(key, OperatorKey) else key.customer_id
        log.info("key_changed", whose=whose, active=key.active)


def place_of(entry_id: str) -> Place:
    """Return a stream entry's id so that ids compare."""
    milliseconds, _, sequence = entry_id.partition("-")
    return int(milliseconds), int(sequence or 0)


def _read(fields: dict[str, bytes]) -> Change:
    if OPERATOR_PAYLOAD in fields:
        return msgspec.json.decode(fields[OPERATOR_PAYLOAD], type=OperatorKey)
    return msgspec.json.decode(fields.get(PAYLOAD, b""), type=ApiKey)


def _apply(keys: dict[str, ApiKey], operators: dict[str, OperatorKey], key: Change) -> None:
    if not key.active:
        keys.pop(key.sha256, None)
        operators.pop(key.sha256, None)
    elif isinstance(key, OperatorKey):
        operators[key.sha256] = key
    else:
        keys[key.sha256] = key
