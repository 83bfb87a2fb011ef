"""Entity tags: whoever has an answer already is told so instead of being sent it again.

They are weak (RFC 9110, section 8.8.1): an answer may be compressed on its way.
"""

from collections.abc import Mapping
from hashlib import blake2b

from fastapi import Request, Response
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.formats import MEDIA_TYPES


def etag_of(content: bytes) -> str:
    """Return the tag of a content, or of whatever changes with it."""
    return f'W/"{blake2b(content, digest_size=12).hexdigest()}"'


def is_held(request: Request, etag: str) -> bool:
    """Tell whether the request says that its sender has the answer with this tag."""
    held = [text.strip() for text in request.headers.get("if-none-match", "").split(",")]
    return "*" in held or etag.removeprefix("W/") in {text.removeprefix("W/") for text in held}


def unchanged(etag: str) -> Response:
    """Return the answer to a request whose sender has it already."""
    return Response(status_code=304, headers=_headers(etag))


def as_json(content: bytes) -> Response:
    """Return the JSON as an answer, which comes in other forms too."""
    return Response(content, media_type=MEDIA_TYPES["json"], headers={"Vary": "Accept"})


def tagged_with(etag: str, content: bytes) -> Response:
    """Return the JSON as an answer whose tag is known already."""
    return Response(content, media_type=MEDIA_TYPES["json"], headers=_headers(etag))


def _headers(etag: str) -> Mapping[str, str]:
    # Kept, but asked about each time: a run that goes on changes every few seconds.
    return {"ETag": etag, "Cache-Control": "private, no-cache", "Vary": "Accept"}


class Etags:
    """Tags the JSON that is read and has no tag yet, and tells whoever holds it so."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "GET" or scope["path"][:4] != "/v1/":
            await self._app(scope, receive, send)
            return
        waiting: Message | None = None

        async def send_tagged(message: Message) -> None:
            nonlocal waiting
            if message["type"] == "http.response.start" and _lacks_tag(message):
                waiting = message  # Until its content is here.
                return
            if waiting is not None:
                start, waiting = waiting, None
                if not message.get("more_body"):
                    start, message = _tagged(Request(scope), start, message)
                await send(start)
            await send(message)

        await self._app(scope, receive, send_tagged)


def _lacks_tag(start: Message) -> bool:
    headers = Headers(raw=start["headers"])
    is_json = headers.get("content-type") == MEDIA_TYPES["json"]
    return start["status"] == 200 and is_json and "etag" not in headers


def _tagged(request: Request, start: Message, body: Message) -> tuple[Message, Message]:
    """Return an answer with its tag, or the one that its content is held already."""
    etag = etag_of(body["body"])
    if is_held(request, etag):
        kept = unchanged(etag)
        return {**start, "status": 304, "headers": kept.raw_headers}, {**body, "body": b""}
    headers = MutableHeaders(raw=[*start["headers"]])
    for name, value in _headers(etag).items():
        headers.setdefault(name, value)
    return {**start, "headers": headers.raw}, body
