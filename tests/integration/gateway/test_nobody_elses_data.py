"""Whatever is asked, with whatever key: nobody gets a byte of another customer's topups."""

import itertools
import re
from collections.abc import Iterator
from typing import Any

import pytest

from services.gateway.app import Gateway
from services.ledger.customers import Customers
from shared.contracts.streams import PartitionKeys
from shared.runtime.redis import Client
from tests.integration.gateway.conftest import seed_of
from tests.integration.gateway.house import PLAIN, Answer, House
from tests.integration.gateway.ledger_stand import CUSTOMER, MERCHANT, SECRET

pytestmark = pytest.mark.integration

COLLEAGUE = ("tk_colleague_0123456789", "COLLEAGUE", MERCHANT)
STRANGER = ("tk_stranger_0123456789", "STRANGER", "strangers")
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
OWNED = PLAIN | {"phone": "5512349876", "metadata": {"note": "for the owner's eyes"}}
MARKS = [
    b"5512349876",
    b"for the owner's eyes",
    CUSTOMER.encode(),
    SECRET.encode(),
    b"owners-order",
]
"""What only the owner may see; the ids come to them."""
FOR_ALL = {"/api/admin/sign-in", "/api/admin/sign-out"}  # without a key they give nothing


def table(home: House) -> list[tuple[str, str]]:
    """Return method and path of everything that a gateway answers."""
    (gateway,) = [one for one in home._open.values() if isinstance(one, Gateway)]
    return gateway.door.table


def addresses(path: str, ids: list[str]) -> Iterator[str]:
    """Fill a path in, with each merchant and each id; any other parameter with an id too."""
    names = re.findall(r"{(\w+)[^}]*}", path)
    choices = [[MERCHANT, STRANGER[2]] if name == "merchant" else ids for name in names]
    for chosen in itertools.product(*choices):
        yield re.sub(r"{\w+[^}]*}", "{}", path).format(*chosen)


@pytest.fixture
async def owned(home: House, whole: str, customers: Customers, redis: Client) -> list[str]:
    """Two of the owner's topups: one with its record, one that only the ledger has."""
    for intruder in (COLLEAGUE, STRANGER):
        await customers.seed(seed_of(*intruder))
    ids = [
        (await home.post(whole, OWNED, key=f"owners-order-{number}")).json["topup_id"]
        for number in range(2)
    ]

    async def all_is_known() -> bool:
        listed = await ask(home, "GET", f"{whole}/api/{MERCHANT}/topups", SECRET)
        told = {one["topup_id"] for one in listed.json["data"]}
        keys = [(await ask(home, "GET", f"{whole}{path}", key)).status for path, key in OWN_LISTS]
        return set(ids) <= told and keys == [200, 200]

    await home.until(all_is_known)
    await redis.delete(PartitionKeys(0).record(ids[1]))
    return ids


OWN_LISTS = [(f"/api/{merchant}/topups", key) for key, _, merchant in (COLLEAGUE, STRANGER)]


async def ask(home: House, method: str, url: str, key: str, **headers: str) -> Answer:
    """Ask with a key, also where another kind of key is wanted."""
    return await home.ask(
        method, url, headers={"x-api-key": key, "x-admin-key": key, **headers}, data=b"{}"
    )


def holds(answer: Answer, marks: list[bytes]) -> list[bytes]:
    """Return the marks that stand anywhere in the answer."""
    said = answer.body + repr(answer.headers).encode()
    return [mark for mark in marks if mark in said]


async def test_the_owner_sees_all_of_it(home: House, whole: str, owned: list[str]) -> None:
    """So that what follows means something: list, file and each topup hold the marks."""
    found: set[bytes] = set()
    marks = [*MARKS, *(one.encode() for one in owned)]
    for method, path in table(home):
        for address in addresses(path, owned):
            if method == "GET":
                found |= set(holds(await ask(home, method, whole + address, SECRET), marks))
    assert found == set(marks) - {SECRET.encode()}


@pytest.mark.parametrize(
    ("secret", "merchant"),
    [(COLLEAGUE[0], MERCHANT), (STRANGER[0], STRANGER[2]), ("", ""), ("tk_nobody", "")],
    ids=["colleague", "stranger", "nobody", "wrong"],
)
async def test_nobody_else_sees_any_of_it(
    home: House, whole: str, owned: list[str], secret: str, merchant: str
) -> None:
    """Each path of the table, each id, each method; the owner's name as x-customer-id too."""
    marks = [*MARKS, *(one.encode() for one in owned)]
    paths = {path for _, path in table(home)}
    assert {"/api/{merchant}/topups/{topup_id}", "/api/admin/metrics", "/health"} <= paths
    for path, method in itertools.product(sorted(paths), METHODS):
        for address in addresses(path, owned):
            own = merchant != "" and f"/{merchant}/" in f"{address}/"
            for headers in ({}, {"x-customer-id": CUSTOMER}):
                answer = await ask(home, method, whole + address, secret, **headers)
                asked = f"{method} {address} {headers}: {answer.status}"
                assert not holds(answer, marks), asked
                check_status(answer, path, asked, own=own and not headers)


def check_status(answer: Answer, path: str, asked: str, *, own: bool) -> None:
    """Insist that what is not the asker's is refused as the API says."""
    if "{" in path and "{topup_id}" not in path and own:
        return  # an own list, or an own topup: only the content matters
    if path.startswith("/api/") and path not in FOR_ALL:
        assert answer.status in {401, 403, 404, 405}, asked
    assert answer.status < 500, asked


async def test_an_idempotency_key_is_the_customers_own(
    home: House, whole: str, owned: list[str]
) -> None:
    """The same key and body from a colleague are another topup."""
    sent: dict[str, Any] = {"x_api_key": COLLEAGUE[0], "x_customer_id": None}
    answer = await home.post(whole, OWNED, key="owners-order-0", **sent)
    assert answer.status == 202
    assert answer.json["topup_id"] not in owned
    assert "idempotent-replayed" not in answer.headers


async def test_a_cursor_opens_nothing(home: House, whole: str, owned: list[str]) -> None:
    """Another customer's is refused."""
    url = f"{whole}/api/{MERCHANT}/topups?limit=1"
    cursor = (await ask(home, "GET", url, SECRET)).json["next_cursor"]
    assert (await ask(home, "GET", f"{url}&cursor={cursor}", SECRET)).status == 200
    assert (await ask(home, "GET", f"{url}&cursor={cursor}", COLLEAGUE[0])).status == 400
