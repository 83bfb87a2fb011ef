"""Bounds of a JSON text as such: how deep it is nested, and how much of it stands side by side.

What is beyond them is cut out before a validator sees it. One that tells of everything that is
wrong needs hundreds of times the memory of a text that is wrong throughout, and where a parser
ends at a depth it knows neither the field nor what follows.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from carbon.schema.fields import MAX_CONFIG

MOST_LEVELS = 150
MOST_MEMBERS = MAX_CONFIG
"""Of one object; none of a wire model has more fields, or a mapping more names."""

MOST_ITEMS = 100_000
"""Of one array; no list of a wire model may be longer."""

# A string that does not end goes on to the end of the text: it is not looked at again.
_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[\[\]{},]', re.DOTALL)

_STRING, _OBJECT = b'"{'
_OPENING, _CLOSING = b"[{", b"]}"

_SECOND_LEVEL = 2
"""Of places: that of `items.7`, or of `epochs.7`."""


class Excess(NamedTuple):
    """What is beyond a bound: where it stands, and what is to be said of it."""

    place: tuple[str | int, ...]
    message: str


@dataclass
class _Open:
    """An object or an array that has begun and not ended."""

    is_object: bool
    index: int = 0
    """How many have ended of what is in it."""
    name: bytes | None = None
    """Of an object: by which its last value goes, as it was written; None if that is to come."""

    def ends_one(self) -> None:
        self.index += 1
        self.name = None

    def is_full(self) -> bool:
        return self.index == (MOST_MEMBERS if self.is_object else MOST_ITEMS)

    def place(self) -> str | int:
        return (self.name or b"").decode(errors="replace") if self.is_object else self.index


def cut_to_bounds(text: bytes) -> tuple[bytes, list[Excess]]:
    """Return a JSON text without what is beyond the bounds, and what that was.

    In place of what is nested too deeply stands a null. Of all that is beyond a bound in one item
    of a batch, or in one of a report's epochs or nodes, the first is named. A text within the
    bounds comes back as it is; of one that is not JSON nothing more is said than that.
    """
    kept: list[bytes] = []
    found: list[Excess] = []
    tokens = _TOKEN.finditer(text)
    begun = 0
    inside: list[_Open] = []
    for token in tokens:
        mark = text[token.start()]
        if mark == _STRING:
            if inside and inside[-1].is_object and inside[-1].name is None:
                inside[-1].name = token[0][1:-1]
        elif mark in _OPENING:
            if len(inside) < MOST_LEVELS:
                inside.append(_Open(is_object=mark == _OBJECT))
                continue
            _note(found, inside, f"is nested more than {MOST_LEVELS} levels deep")
            kept += text[begun : token.start()], b"null"
            _, begun = _end_of_open(tokens, text)
        elif mark in _CLOSING:
            if inside:
                inside.pop()
        elif inside:
            inside[-1].ends_one()
            if inside[-1].is_full():
                full = inside.pop()
                what = "members" if full.is_object else "items"
                _note(found, inside, f"has more than {full.index} {what}")
                kept.append(text[begun : token.start()])
                begun, _ = _end_of_open(tokens, text)
    if not found:
        return text, []
    return b"".join([*kept, text[begun:]]), found


def _note(found: list[Excess], inside: list[_Open], message: str) -> None:
    place = tuple(each.place() for each in inside)
    if not found or found[-1].place[:_SECOND_LEVEL] != place[:_SECOND_LEVEL]:
        found.append(Excess(place, message))


def _end_of_open(tokens: Iterator[re.Match[bytes]], text: bytes) -> tuple[int, int]:
    """Go to the end of what is open; return where the bracket that closes it begins and ends."""
    levels = 1
    for token in tokens:
        mark = text[token.start()]
        if mark in _OPENING:
            levels += 1
        elif mark in _CLOSING:
            levels -= 1
            if not levels:
                return token.span()
    return len(text), len(text)
