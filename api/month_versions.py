"""A number for the state of each month: every transaction that changes its runs counts it up.

What was made of a month's sums is right as long as the month has the version it was made from.
"""

from collections.abc import Iterable
from datetime import date

from sqlalchemy import Connection, Date, bindparam, text

from api.periods import around

_COUNT_UP = text(
    "INSERT INTO month_versions (month, version) VALUES (:month, 1) "
    "ON CONFLICT (month) DO UPDATE SET version = month_versions.version + 1"
).bindparams(bindparam("month", type_=Date()))


def month_of(day: date) -> date:
    """Return the first day of a day's month."""
    return around("month", day).from_day


def count_up(connection: Connection, days: Iterable[date]) -> None:
    """Give the months of these days their next version.

    Args:
        connection: in the transaction that changes the sums of these days.
        days: in any order, as often as they come.
    """
    # In the order of time, as every transaction does it: no two wait for each other then.
    months = sorted({month_of(day) for day in days})
    if months:
        connection.execute(_COUNT_UP, [{"month": month} for month in months])
