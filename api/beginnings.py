"""Beginnings of weeks and months, for both databases; in UTC, as the days of the ledger are."""

from collections.abc import Callable
from datetime import date
from typing import Any

from sqlalchemy import ColumnElement, Date
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.expression import FunctionElement


class _BeginningOf(FunctionElement[date]):
    """The first day of the period that a day belongs to."""

    inherit_cache = True
    type = Date()


class _Week(_BeginningOf):
    """The Monday: weeks are those of ISO 8601."""

    inherit_cache = True


class _Month(_BeginningOf):
    inherit_cache = True


@compiles(_Week, "sqlite")
def _week_in_sqlite(element: Any, compiler: Any, **options: Any) -> str:
    # https://www.sqlite.org/lang_datefunc.html: six days back, and on to a Monday from there.
    return f"date({compiler.process(element.clauses, **options)}, '-6 days', 'weekday 1')"


@compiles(_Month, "sqlite")
def _month_in_sqlite(element: Any, compiler: Any, **options: Any) -> str:
    return f"date({compiler.process(element.clauses, **options)}, 'start of month')"


@compiles(_Week, "postgresql")
def _week_in_postgresql(element: Any, compiler: Any, **options: Any) -> str:
    return _truncated("week", compiler.process(element.clauses, **options))


@compiles(_Month, "postgresql")
def _month_in_postgresql(element: Any, compiler: Any, **options: Any) -> str:
    return _truncated("month", compiler.process(element.clauses, **options))


def _truncated(period: str, day: str) -> str:
    # Without a time zone: a day is to stay the day it is, whatever the server's is.
    return f"CAST(date_trunc('{period}', CAST({day} AS TIMESTAMP)) AS DATE)"


BEGINNINGS: dict[str, Callable[[ColumnElement[Any]], ColumnElement[Any]]] = {
    "day": lambda day: day,
    "week": _Week,
    "month": _Month,
}
"""By the name of a period, what makes its first day of a column of days."""


def name_of(period: str, beginning: date) -> date | str:
    """Return a period as ISO 8601 writes it: the day itself, 2026-W09, 2026-03."""
    if period == "day":
        return beginning
    if period == "month":
        return f"{beginning.year:04}-{beginning.month:02}"
    year, week, _ = beginning.isocalendar()
    return f"{year:04}-W{week:02}"
