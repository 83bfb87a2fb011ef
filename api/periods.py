"""The periods of budgets: calendar months, quarters and years in UTC, or days that are named."""

import calendar
from dataclasses import dataclass
from datetime import date, timedelta

_MONTHS = {"month": 1, "quarter": 3, "year": 12}


@dataclass(frozen=True)
class Days:
    """Days in a row, both ends included."""

    from_day: date
    until_day: date

    def __contains__(self, day: date) -> bool:
        return self.from_day <= day <= self.until_day


def around(period: str, day: date) -> Days:
    """Return the calendar month, quarter or year that a day is in."""
    months = _MONTHS[period]
    first = (day.month - 1) // months * months + 1
    last = first + months - 1
    return Days(
        date(day.year, first, 1),
        date(day.year, last, calendar.monthrange(day.year, last)[1]),
    )


def before(period: str, days: Days) -> Days | None:
    """Return the calendar period before; None before the first."""
    if days.from_day == date.min:
        return None
    return around(period, days.from_day - timedelta(days=1))
