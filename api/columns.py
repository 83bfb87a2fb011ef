"""A column type that keeps a decimal exactly, and what types are made of."""

from decimal import Decimal
from typing import Any

from sqlalchemy import BigInteger, Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine

# The float and the product are each off by at most half a unit of their last bit, together by less
# than half a count below this many. Ten times as quick as the way over text.
_EXACT = 2.0**50
_SCALES = [10.0**decimals for decimals in range(19)]


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
        return None if value is None else count_from(value, self.decimals)

    def process_result_value(self, value: int | None, dialect: Dialect) -> float | None:
        return None if value is None else float_of(value, self.decimals)


def undecorated(kind: TypeEngine[Any]) -> TypeEngine[Any]:
    """Return the type of the database's own that a column's type is made of."""
    return kind.impl_instance if isinstance(kind, TypeDecorator) else kind


def count_from(value: float, decimals: int) -> int:
    """Return a float of at most `decimals` decimals as a count of the last one."""
    scaled: float = value * _SCALES[decimals]
    if abs(scaled) < _EXACT:
        return round(scaled)
    return int(Decimal(repr(value)).scaleb(decimals))


def float_of(count: int, decimals: int) -> float:
    """Return the float nearest to `count` units of the last of `decimals` decimals.

    Up to 15 significant digits it shows all of them (IEEE 754 binary64).
    """
    quotient: float = count / 10**decimals
    return quotient
