"""Where the next page of a list begins: an opaque text that holds the last line of this one."""

import base64
import binascii
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Any
from uuid import UUID

from pydantic_core import from_json, to_json

from api.problems import ProblemError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

Place = Sequence[Any]
"""The values by which a list is ordered, of its last line so far: texts, whole numbers, days or
None. A day is read back as the text that JSON has for it."""


def encode(place: Place, listed: Any) -> str:
    """Return the text that stands for a place in a URL.

    Args:
        place: the last line's values.
        listed: what was asked for, filters and order, of whatever JSON can hold.
    """
    return base64.urlsafe_b64encode(to_json([_fingerprint(listed), *place])).decode()


def decode(text: str, listed: Any, kinds: Sequence[tuple[type, ...]]) -> Place:
    """Read a text that `encode` made.

    Args:
        text: what came with a request.
        listed: what this request asks for.
        kinds: of which types each value of the place may be.

    Raises:
        ProblemError: 422, a text that `encode` did not make, or made of another list.
    """
    try:
        found = from_json(base64.b64decode(text.encode("ascii"), altchars=b"-_", validate=True))
        fingerprint, *place = found
        fits = [isinstance(value, kind) for value, kind in zip(place, kinds, strict=True)]
        fits += ["\0" not in value for value in place if isinstance(value, str)]
    except (TypeError, ValueError, binascii.Error) as error:
        raise not_a_cursor() from error
    if not all(fits) or not isinstance(fingerprint, str):
        raise not_a_cursor()
    if fingerprint != _fingerprint(listed):
        raise _refused(
            "it belongs to a list with other filters or another order; ask for the first page of "
            "this one, without a cursor"
        )
    return tuple(place)


def microseconds(moment: datetime) -> int:
    """Return a moment as a place holds it: exactly, which floats of seconds are not."""
    return (moment - _EPOCH) // _MICROSECOND


def moment_of(microseconds: int) -> datetime:
    """Return the moment that a place holds.

    Raises:
        ProblemError: 422, there is no such moment.
    """
    try:
        return _EPOCH + microseconds * _MICROSECOND
    except OverflowError as error:
        raise not_a_cursor() from error


def run_id_of(text: str) -> UUID:
    """Return the run id that a place holds as hexadecimal digits.

    Raises:
        ProblemError: 422, it is none.
    """
    try:
        return UUID(hex=text)
    except ValueError as error:
        raise not_a_cursor() from error


def not_a_cursor() -> ProblemError:
    """Return what a cursor is answered with that this API never gave out."""
    return _refused("not a cursor of this API; pass on next_cursor of the page before, unchanged")


def _refused(message: str) -> ProblemError:
    return ProblemError(422, f"cursor: {message}", errors=[{"field": "cursor", "message": message}])


def _fingerprint(listed: Any) -> str:
    return blake2b(to_json(listed), digest_size=6).hexdigest()
