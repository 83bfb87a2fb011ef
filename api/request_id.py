"""The id of the request that is being answered: in the answer, in log lines, in problems."""

import re
import uuid
from contextvars import ContextVar

HEADER = "X-Request-ID"

# What a proxy in front would send; anything else could forge log lines.
_SANE = re.compile(r"[A-Za-z0-9._:-]{1,128}")

_current: ContextVar[str | None] = ContextVar("request_id", default=None)


def begin(given: str | None) -> str:
    """Name the request from here on: as its sender did, if that is an id, else by a new one."""
    request_id = given if given and _SANE.fullmatch(given) else uuid.uuid4().hex
    _current.set(request_id)
    return request_id


def current() -> str | None:
    """Return the id of the request that this code runs for, None outside of any."""
    return _current.get()
