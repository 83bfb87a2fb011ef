"""Quantities come back from the database as they went in."""

from collections.abc import Iterator
from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sqlalchemy import Column, Connection, Integer, MetaData, Table, create_engine, select

from api.columns import FixedPoint, count_from, float_of
from carbon.units import ENERGY_DECIMALS, TIME_DECIMALS

DECIMALS = 12
LARGEST = 9e6
"""The largest energy, in kWh, and mass, in kg, that a report may hold."""

_metadata = MetaData()
QUANTITIES = Table(
    "quantities",
    _metadata,
    Column("id", Integer, primary_key=True),
    Column("value", FixedPoint(DECIMALS)),
)
values = st.floats(0, LARGEST, allow_nan=False).map(lambda value: round(value, DECIMALS))


@pytest.fixture(scope="module")
def connection() -> Iterator[Connection]:
    engine = create_engine("sqlite://")
    _metadata.create_all(engine)
    with engine.connect() as opened:
        yield opened
    engine.dispose()


def keep(connection: Connection, kept: list[float | None]) -> None:
    connection.execute(QUANTITIES.delete())
    if kept:
        connection.execute(QUANTITIES.insert(), [{"value": value} for value in kept])


@given(value=values | st.none())
def test_a_value_comes_back_bit_by_bit(connection: Connection, value: float | None) -> None:
    keep(connection, [value])
    assert connection.execute(select(QUANTITIES.c.value)).scalar_one() == value


@given(count=st.integers(0, 10**15 - 1))
def test_fifteen_digits_are_shown_exactly(count: int) -> None:
    assert Decimal(repr(float_of(count, DECIMALS))) == Decimal(count).scaleb(-DECIMALS)


@given(st.floats(0, 9e6), st.sampled_from([ENERGY_DECIMALS, TIME_DECIMALS]))
@example(2**50 / 10**12, 12)
@example(0.1 + 0.2, 12)
def test_the_quick_way_to_a_count_is_exact(value: float, decimals: int) -> None:
    rounded = round(value, decimals)
    count = count_from(rounded, decimals)
    assert count == int(Decimal(repr(rounded)).scaleb(decimals))
    assert float_of(count, decimals) == rounded
