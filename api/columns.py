"""Column types that keep a decimal exactly, and sums over them that stay exact."""

from decimal import Decimal
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Dialect, func, type_coerce
from sqlalchemy.types import TypeDecorator

# A sum of 64-bit counts may not fit 64 bits, and SQLite then fails. So the quotients and the
# remainders by this are summed apart: either sum fits for up to a thousand million rows.
_PART = 10**9


class FixedPoint(TypeDecorator[float]):
    """A float of at most `decimals` decimals, stored as a 64-bit count of the last one.

    Counts add up exactly in any order, which floats do not. A float that was rounded to `decimals`
    decimals comes back bit by bit: its `repr` has no more than those, and the quotient of two
    integers is the float nearest to it.
    """

    impl = BigInteger
    cache_ok = True

    def __init__(self, decimals: int) -> None:
        super().__init__()
        self.decimals = decimals

    def process_bind_param(self, value: float | None, dialect: Dialect) -> int | None:
        return None if value is None else int(Decimal(repr(value)).scaleb(self.decimals))

    def process_result_value(self, value: int | None, dialect: Dialect) -> float | None:
        return None if value is None else float_of(value, self.decimals)


def float_of(count: int, decimals: int) -> float:
    """Return the float nearest to `count` units of the last of `decimals` decimals.

    Up to 15 significant digits it shows all of them (IEEE 754 binary64).
    """
    quotient: float = count / 10**decimals
    return quotient


def count_of(column: Any) -> ColumnElement[int]:
    """Return a `FixedPoint` column as the bare count."""
    return type_coerce(column, BigInteger)


def sum_parts(column: Any) -> tuple[ColumnElement[int], ColumnElement[int]]:
    """Return the two sums from which `joined` makes the exact sum of a `FixedPoint` column."""
    count = count_of(column)
    return func.sum(count // _PART), func.sum(count % _PART)


def joined(quotients: Any, remainders: Any) -> int:
    """Return the exact sum, as a count; of no known value at all (None), 0."""
    return int(quotients or 0) * _PART + int(remainders or 0)
