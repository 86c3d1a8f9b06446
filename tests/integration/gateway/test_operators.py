"""Operators: each with a key of their own; who asks is known, and let go within a moment."""

from collections.abc import AsyncIterator

import msgspec
import pytest

from services.gateway.keys import OPERATOR_PAYLOAD
from services.ledger.changes import Changes
from services.ledger.keys import NewKey
from services.ledger.operators import Operators
from shared.bus.lanes import Lanes
from shared.bus.topups import Topups
from shared.contracts.acts import act_by
from shared.contracts.keys import OPERATOR_PREFIX, draw_key, hash_of, shown_of
from shared.contracts.peers import OperatorKey
from shared.contracts.streams import KEYS_STREAM
from shared.runtime.redis import Client
from tests.integration.gateway.house import Answer, House

pytestmark = pytest.mark.integration

ANA = draw_key(OPERATOR_PREFIX)


async def ask(home: House, gateway: str, key: str, path: str = "metrics") -> Answer:
    """Ask the admin API with this key."""
    return await home.ask("GET", f"{gateway}/api/admin/{path}", headers={"x-admin-key": key})


async def until_status(home: House, gateway: str, status: int, key: str = ANA) -> None:
    """Wait until the key is answered so."""

    async def answered() -> bool:
        return (await ask(home, gateway, key)).status == status

    await home.until(answered)


async def announce(redis: Client, key: OperatorKey) -> None:
    """Say on the stream how an operator's key is from now on."""
    await redis.xadd(KEYS_STREAM, {OPERATOR_PAYLOAD: msgspec.json.encode(key)})


async def test_an_operator_comes_in_and_goes(home: House, redis: Client) -> None:
    """As soon as it is announced; with no ADMIN_KEY the admin API is open to operators alone."""
    gateway = await home.gateway(admin_key=None)
    assert (await ask(home, gateway, ANA)).code == "forbidden"
    await announce(redis, OperatorKey(sha256=hash_of(ANA), name="ana"))
    await until_status(home, gateway, 200)
    assert (await ask(home, gateway, "")).code == "unauthorized"
    assert (await ask(home, gateway, draw_key(OPERATOR_PREFIX))).code == "unauthorized"
    await announce(redis, OperatorKey(sha256=hash_of(ANA), name="ana", active=False))
    await until_status(home, gateway, 403)


async def test_an_operator_in_the_ledgers_list_comes_in(home: House) -> None:
    """A gateway that starts knows them; a merchant's call does not take their key."""
    home.ledger.operators = [OperatorKey(sha256=hash_of(ANA), name="ana")]
    gateway = await home.gateway()
    assert (await ask(home, gateway, ANA)).status == 200
    assert (await home.post(gateway, x_api_key=ANA)).status == 401


async def test_keys_that_nobody_confirms_let_no_operator_in(home: House) -> None:
    """Who was revoked meanwhile must not get in; ADMIN_KEY needs nobody's word."""
    home.ledger.operators = [OperatorKey(sha256=hash_of(ANA), name="ana")]
    gateway = await home.gateway()
    home.ledger.silent = True
    home.clock.ahead_s = 1_000
    assert (await ask(home, gateway, ANA, "queue-stats")).code == "unavailable"
    assert (await home.admin(gateway, "queue-stats")).status == 200


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=ten", "limit"),
        ("before=0", "before"),
        ("who=", "who"),
        ("who=ana&who=ben", "who"),
        ("whom=ana", "whom"),
        ("target=%00", "target"),
    ],
)
async def test_a_wrong_question_is_refused(
    home: House, gateway: str, query: str, named: str
) -> None:
    """The text names the parameter, and what would do."""
    answer = await home.admin(gateway, f"audit?{query}")
    assert (answer.status, answer.code) == (400, "invalid_request")
    assert named in answer.json["error"]
    assert "for example ?limit=50" in answer.json["error"]


@pytest.fixture
async def operators(changes: Changes) -> AsyncIterator[Operators]:
    """Operators of a real ledger."""
    yield Operators(changes)
    for operator in await Operators(changes).all():
        await Operators(changes).revoke(operator.name)


async def test_what_an_operator_does_is_in_the_audit(
    home: House, whole: str, redis: Client, operators: Operators
) -> None:
    """A person is let in, holds a lane, and both are shown: who, what, why, before and after."""
    await operators.add("ana", NewKey(sha256=hash_of(ANA), prefix=shown_of(ANA)))
    await until_status(home, whole, 200)
    act = act_by("ana", why="strike")
    await Lanes(redis, Topups(redis, partitions=1, window_ms=60_000)).hold("LATCOM", act=act)

    async def shown() -> bool:
        found = (await ask(home, whole, ANA, "audit?act=lane.hold&who=ana")).json["acts"]
        return [one["id"] for one in found] == [act.id]

    await home.until(shown)
    (held,) = (await ask(home, whole, ANA, "audit?act=lane.hold&who=ana")).json["acts"]
    assert (held["target"], held["why"], held["after"]["state"]) == ("LATCOM", "strike", "held")
    (added,) = (await ask(home, whole, ANA, "audit?target=ana&limit=1")).json["acts"]
    assert (added["act"], added["who"]) == ("operator.add", "ledger")
    await operators.revoke("ana")
    await until_status(home, whole, 401)


async def test_without_a_ledger_the_audit_is_unavailable(home: House, gateway: str) -> None:
    """Nothing is made up."""
    home.ledger.silent = True
    answer = await home.admin(gateway, "audit")
    assert (answer.status, answer.code) == (503, "unavailable")
