"""Entity tags: whoever has an answer already is told so instead of being sent it again.

They are weak (RFC 9110, section 8.8.1): an answer may be compressed on its way.
"""

from collections.abc import Mapping
from hashlib import blake2b

from fastapi import Request, Response

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


def tagged(request: Request, content: bytes) -> Response:
    """Return the JSON as an answer, or that its sender has it already."""
    etag = etag_of(content)
    if is_held(request, etag):
        return unchanged(etag)
    return tagged_with(etag, content)


def tagged_with(etag: str, content: bytes) -> Response:
    """Return the JSON as an answer whose tag is known already."""
    return Response(content, media_type=MEDIA_TYPES["json"], headers=_headers(etag))


def _headers(etag: str) -> Mapping[str, str]:
    # Kept, but asked about each time: a run that goes on changes every few seconds.
    return {"ETag": etag, "Cache-Control": "private, no-cache", "Vary": "Accept"}
