"""What a gateway says of its API: a valid OpenAPI, whole, and a page that needs nobody else."""

import re
from html.parser import HTMLParser
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from services.gateway.app import Gateway
from shared.web.problems import PROBLEMS, said_code
from tests.integration.gateway.described import Description, NotDescribed
from tests.integration.gateway.house import House

pytestmark = pytest.mark.integration


async def read(home: House, gateway: str) -> dict[str, Any]:
    """Return the document as it is served."""
    found: dict[str, Any] = (await home.ask("GET", f"{gateway}/openapi.json")).json
    return found


async def test_the_document_is_openapi_3_1(home: House, gateway: str) -> None:
    """By the official schema, and every reference leads somewhere."""
    document = await read(home, gateway)
    assert document["openapi"] == "3.1.0"
    assert not list(OpenAPIV31SpecValidator(document).iter_errors())


async def test_what_is_served_is_described_and_nothing_else(home: House, gateway: str) -> None:
    """Each row of the table that serves has its words."""
    (service,) = [one for one in home._open.values() if isinstance(one, Gateway)]
    paths = (await read(home, gateway))["paths"]
    described = {(method.upper(), path) for path, calls in paths.items() for method in calls}
    assert {row for row in service.door.table if row[0] != "HEAD"} == described


async def test_every_error_code_is_described(home: House, gateway: str) -> None:
    """Whatever the table of problems has, some call says that it may be answered."""
    document = await read(home, gateway)
    responses = [
        response
        for calls in document["paths"].values()
        for call in calls.values()
        for response in call["responses"].values()
    ]
    responses += document["components"]["responses"].values()
    said = {
        code
        for response in responses
        for code in response["headers"].get("Error-Code", {}).get("schema", {}).get("enum", ())
    }
    assert said == {said_code(code) for code in PROBLEMS}


@pytest.mark.parametrize("path", ["/openapi.json", "/docs", "/docs/swagger-ui.js"])
async def test_who_has_it_need_not_get_it_again(home: House, gateway: str, path: str) -> None:
    """An ETag is answered with 304 and nothing more; another one with all of it."""
    first = await home.ask("GET", gateway + path)
    etag = first.headers["etag"]
    for known in (etag, f'"other", W/{etag}', "*"):
        again = await home.ask("GET", gateway + path, headers={"if-none-match": known})
        assert (again.status, again.body) == (304, b"")
    other = await home.ask("GET", gateway + path, headers={"if-none-match": '"other"'})
    assert other.body == first.body


class Links(HTMLParser):
    """Collects what a page loads, and what it would run or style in place."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.inline: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.loaded += [given[name] or "" for name in ("src", "href") if name in given]
        self.inline += [name for name in given if name.startswith("on") or name == "style"]
        if tag == "style" or (tag == "script" and "src" not in given):
            self.inline.append(tag)


async def test_the_page_needs_no_other_host(home: House, gateway: str) -> None:
    """Each address in it is relative and is served with the right type; nothing stands inline."""
    page = await home.ask("GET", f"{gateway}/docs")
    links = Links()
    links.feed(page.body.decode())
    assert not links.inline
    assert "docs/swagger-ui.js" in links.loaded
    for address in set(links.loaded) - {"data:,"}:
        assert re.fullmatch(r"[a-z][a-z./-]*", address), address
        answer = await home.ask("GET", f"{gateway}/{address}")
        assert answer.status == 200
        kind = {"js": "text/javascript", "css": "text/css", "json": "application/json"}
        assert answer.headers["content-type"].startswith(kind[address.rpartition(".")[2]])
        if address.endswith(".css"):
            assert set(re.findall(r"url\(\"?(\w+:)", answer.body.decode())) == {"data:"}


async def test_the_page_may_load_from_here_only(home: House, gateway: str) -> None:
    """Whatever the scripts would like, the browser is told to keep to this host."""
    policy = (await home.ask("GET", f"{gateway}/docs")).headers["content-security-policy"]
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules.pop("default-src") == "'none'"
    assert rules.pop("img-src") == "'self' data:"
    assert set(rules.values()) == {"'self'", "'none'"}


async def test_the_start_leads_to_the_docs(home: House, gateway: str) -> None:
    """Who opens the bare address is told where to look."""
    answer = await home.ask("GET", f"{gateway}/")
    assert answer.status == 404
    assert "/docs" in answer.json["error"]


@pytest.mark.parametrize(
    ("status", "headers", "body"),
    [
        (201, {}, b'{"success": true}'),
        (401, {"error-code": "not_found"}, b'{"success": false, "error": "no"}'),
        (401, {"error-code": "unauthorized", "x-secret": "1"}, b'{"success": false, "error": ""}'),
        (401, {}, b'{"success": false, "error": "no"}'),
        (401, {"error-code": "unauthorized"}, b'{"success": true, "error": "no"}'),
        (401, {"error-code": "unauthorized"}, b'{"success": false, "error": "no", "more": 1}'),
        (200, {}, b'{"success": true, "total_transactions": "1"}'),
    ],
)
async def test_what_is_not_described_fails_every_test(
    home: House, gateway: str, status: int, headers: dict[str, str], body: bytes
) -> None:
    """All tests here hold each answer against the document; so they can fail."""
    description = Description(await read(home, gateway))
    said = {"content-type": "application/json", **headers}
    with pytest.raises(NotDescribed):
        description.check("GET", "/api/admin/metrics", status, said, body)
