"""One quantity of a project day by day, from the sums beside the runs."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from sqlalchemy import Connection, func, select

from api.sums import PART, STATUSES
from api.tables import DAYS


@dataclass(frozen=True)
class DaySum:
    """The runs of a project that began on one day.

    Attributes:
        runs: how many these are.
        known: of how many of them the quantity is known.
        count: the sum over those, as a count of its last decimal.
    """

    runs: int
    known: int
    count: int


def by_day(
    connection: Connection,
    project: str,
    quantity: str,
    from_day: date = date.min,
    until_day: date = date.max,
) -> Mapping[date, DaySum]:
    """Return the sums of the days on which runs began, the last day included.

    Args:
        connection: in any transaction.
        project: its name.
        quantity: one of `api.sums.KNOWN`, or grid_energy_kwh.
        from_day: in UTC.
        until_day: in UTC.
    """
    known = "energy_kwh" if quantity == "grid_energy_kwh" else quantity
    query = (
        select(
            DAYS.c.day,
            func.sum(sum(DAYS.c[f"runs_{status}"] for status in STATUSES)).label("runs"),
            func.sum(DAYS.c[f"{known}_known"]).label("known"),
            func.sum(DAYS.c[f"{quantity}_quotient"]).label("quotient"),
            func.sum(DAYS.c[f"{quantity}_remainder"]).label("remainder"),
        )
        .where(DAYS.c.project == project, DAYS.c.day.between(from_day, until_day))
        .group_by(DAYS.c.day)
    )
    return {
        row.day: DaySum(
            int(row.runs), int(row.known), int(row.quotient) * PART + int(row.remainder)
        )
        for row in connection.execute(query)
    }


def first_day(connection: Connection, project: str) -> date | None:
    """Return the day on which a project's first run began."""
    day: date | None = connection.execute(
        select(func.min(DAYS.c.day)).where(DAYS.c.project == project)
    ).scalar()
    return day
