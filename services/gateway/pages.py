"""Files of a page as browsers get them: named by their bytes, and kept to this host."""

from hashlib import sha256
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from services.gateway.calls import Answer, Field

HTML: Final = "text/html; charset=utf-8"
SCRIPT: Final = "text/javascript; charset=utf-8"
STYLE: Final = "text/css; charset=utf-8"
IF_NONE_MATCH: Final = Field(name="If-None-Match", about="The ETag of the copy that you have.")
_ETAG: Final = Field(name="ETag", about="Names these bytes.", required=True)
_KEPT: Final = {"cache-control": "no-cache", "x-content-type-options": "nosniff"}


class File(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes that never change while we run, and their name."""

    body: bytes
    media: str
    etag: str
    encoding: str | None = None


def file_of(body: bytes, media: str, *, encoding: str | None = None) -> File:
    """Return the bytes with their name."""
    return File(
        body=body, media=media, etag=f'"{sha256(body).hexdigest()[:32]}"', encoding=encoding
    )


def respond(request: Request, file: File, policy: dict[str, str]) -> Response:
    """Answer the file, or that it is had already; `policy` is what its page may do."""
    headers = {**_KEPT, **policy, "etag": file.etag}
    if file.encoding is not None:
        headers |= {"content-encoding": file.encoding, "vary": "accept-encoding"}
    known = request.headers.get("if-none-match", "")
    if known == "*" or file.etag in (tag.strip().removeprefix("W/") for tag in known.split(",")):
        return Response(status_code=304, headers=headers)
    return Response(file.body, headers={**headers, "content-type": file.media})


def described(policy: dict[str, str], *, more: tuple[Field, ...] = ()) -> tuple[Field, ...]:
    """Return the headers of such an answer, for the API's description."""
    always = (
        Field(name=name.title(), about="Always so.", schema={"const": value}, required=True)
        for name, value in {**_KEPT, **policy}.items()
    )
    return (_ETAG, *always, *more)


def shown(answer: Answer) -> dict[int, Answer]:
    """Return it with the answer to who has it already."""
    return {200: answer, 304: Answer(about="You have it", headers=answer.headers)}
