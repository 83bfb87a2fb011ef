"""Making the values of a row what a database's driver takes, without SQLAlchemy's way to it.

That binds them one by one at each call, which takes longer than the database needs for the row.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

from sqlalchemy import JSON, Column, DateTime, Dialect

from api.columns import FixedPoint, count_from, undecorated
from api.quick_reading import json_of

Makers = Sequence[tuple[int, Callable[[Any], Any]]]
"""The places in a row of what the driver takes differently, each with what makes it that."""


def makers_of(dialect: Dialect, columns: Iterable[Column[Any]]) -> Makers:
    """Return the makers for rows of these columns."""
    return [
        (place, make)
        for place, column in enumerate(columns)
        if (make := _maker(dialect, column)) is not None
    ]


def _maker(dialect: Dialect, column: Column[Any]) -> Callable[[Any], Any] | None:
    kind = column.type
    plain = undecorated(kind)
    # SQLAlchemy would come to the same, by several calls for each value.
    if isinstance(kind, FixedPoint):
        return partial(count_from, decimals=kind.decimals)
    if isinstance(plain, JSON):
        return json_of
    if isinstance(plain, DateTime) and dialect.name == "sqlite":
        return _moment_text
    return kind.dialect_impl(dialect).bind_processor(dialect)


def _moment_text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(" ", "microseconds").removesuffix("+00:00")


def bound(row: Iterable[Any], makers: Makers) -> tuple[Any, ...]:
    """Return a row's values as the driver takes them; what is None stays so, as JSON too."""
    values = list(row)
    for place, make in makers:
        if (value := values[place]) is not None:
            values[place] = make(value)
    return tuple(values)
