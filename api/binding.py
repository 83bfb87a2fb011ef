"""Making the values of a row what a database's driver takes, without SQLAlchemy's way to it.

That binds them one by one at each call, which takes longer than the database needs for the row.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Column, Dialect

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
    if dialect.name == "sqlite" and column.type.python_type is datetime:
        return _moment_text
    return column.type.dialect_impl(dialect).bind_processor(dialect)


def _moment_text(moment: datetime | None) -> str | None:
    """Return a moment as SQLAlchemy writes it for SQLite, in UTC, in a fraction of its time."""
    if moment is None:
        return None
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")


def bound(row: Iterable[Any], makers: Makers) -> tuple[Any, ...]:
    """Return a row's values as the driver takes them."""
    values = list(row)
    for place, make in makers:
        values[place] = make(values[place])
    return tuple(values)
