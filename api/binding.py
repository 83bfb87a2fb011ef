"""Making the values of a row what a database's driver takes, without SQLAlchemy's way to it.

That binds them one by one at each call, which takes longer than the database needs for the row.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from sqlalchemy import Column, Dialect

Makers = Sequence[tuple[int, Callable[[Any], Any]]]
"""The places in a row of what the driver takes differently, each with what makes it that."""


def makers_of(dialect: Dialect, columns: Iterable[Column[Any]]) -> Makers:
    """Return the makers for rows of these columns."""
    return [
        (place, make)
        for place, column in enumerate(columns)
        if (make := column.type.dialect_impl(dialect).bind_processor(dialect)) is not None
    ]


def bound(row: Iterable[Any], makers: Makers) -> tuple[Any, ...]:
    """Return a row's values as the driver takes them."""
    values = list(row)
    for place, make in makers:
        values[place] = make(values[place])
    return tuple(values)
