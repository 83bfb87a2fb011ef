"""Sums over the whole ledger: sums of the sums of days, made when somebody asks for them.

The tables of days have about as many rows as there are runs once studies, users and places are
many, and to add them all up takes seconds. `month_sums` holds them added up, by each single kind of
`api.kinds` month by month, and by none of them day by day, so that a summary of everything reads
some hundred rows.

No report has to change them: it counts up its month's version (`api.month_versions`). Whoever reads
first makes anew what was made from another version (`api.settling`). What then is not of the
version that the reader sees, as a report came in between or the database cannot be written, comes
from the sums of days: an answer is of one state of the ledger at every moment.
"""

from collections.abc import Iterator, Sequence
from datetime import date
from typing import Any

from sqlalchemy import (
    Connection,
    Date,
    FromClause,
    Select,
    and_,
    bindparam,
    delete,
    not_,
    select,
    text,
    union_all,
    update,
)

from api.adding import Row, add
from api.beginnings import BEGINNINGS
from api.kinds import COLUMNS_OF, table_of
from api.month_versions import month_of
from api.periods import around
from api.rollups import summed
from api.sums import COLUMNS, EXTREMES
from api.tables import DAYS, MONTH_SUMS, MONTH_VERSIONS, MONTHS_MADE, TOTALS

BY_DAY = ""
"""The kind of the sums of days; those of all others are of months."""

KINDS = (BY_DAY, *COLUMNS_OF)

_VALUES = ("value", "second_value")
_SUMS = (*COLUMNS, *EXTREMES)

_STATES = (
    select(MONTH_VERSIONS.c.month, MONTH_VERSIONS.c.version, MONTHS_MADE.c.version.label("made"))
    .outerjoin(
        MONTHS_MADE,
        and_(MONTHS_MADE.c.month == MONTH_VERSIONS.c.month, MONTHS_MADE.c.kind == bindparam("of")),
    )
    .order_by(MONTH_VERSIONS.c.month)
)

# Of two that made the same month that which saw the later version counts.
_TAKE_OVER = text(
    "INSERT INTO months_made (kind, month, version) VALUES (:kind, :month, :version) "
    "ON CONFLICT (kind, month) DO UPDATE SET version = excluded.version "
    "WHERE months_made.version < excluded.version"
).bindparams(bindparam("month", type_=Date()))


def stale(connection: Connection, kind: str) -> list[date]:
    """Return the months of which the sums of a kind are still to make, or to make anew."""
    return [month for month, is_made in _states(connection, kind) if not is_made]


def added_up(connection: Connection, kind: str, month: date) -> tuple[int, list[Row]] | None:
    """Return a month's version and rows of `MONTH_SUMS`; None if it has those already.

    Args:
        connection: in a transaction that sees one state of the ledger.
        kind: of `KINDS`.
        month: its first day; it has had runs.
    """
    of_month = _STATES.where(MONTH_VERSIONS.c.month == month)
    state = connection.execute(of_month, {"of": kind}).one()
    if state.version == state.made:
        return None
    return state.version, list(_rows(connection, kind, month))


def keep(connection: Connection, kind: str, month: date, version: int, rows: Sequence[Row]) -> None:
    """Write what `added_up` returned, unless that of a later version is there."""
    taken = {"kind": kind, "month": month, "version": version}
    if connection.execute(_TAKE_OVER, taken).rowcount:
        of_month = MONTH_SUMS.c.beginning.between(month, _last_day(month))
        connection.execute(delete(MONTH_SUMS).where(MONTH_SUMS.c.kind == kind, of_month))
        add(connection, MONTH_SUMS, rows)


def source(connection: Connection, kind: str, since: date | None, until: date | None) -> FromClause:
    """Return rows of sums that add up to what the tables of days do.

    They have the day, or another one of its month, as `day`, the columns of the kind, and those of
    every sum. The months at the ends of the stretch of time come day by day.

    Args:
        connection: in the transaction that reads them, which sees one state of the ledger.
        kind: of `KINDS`.
        since: the first day that counts, and
        until: the last one; None leaves that end open.
    """
    since, until = since or date.min, until or date.max
    from_days: list[tuple[date, date]] = []
    for month, is_made in _states(connection, kind):
        last = _last_day(month)
        if last < since or until < month:
            continue
        is_whole = kind == BY_DAY or (since <= month and last <= until)
        if not (is_made and is_whole):
            from_days.append((month, last))
    stretches = list(_joined(from_days))
    parts = [_made_ones(kind, stretches), *(_of_days(kind, *stretch) for stretch in stretches)]
    return union_all(*parts).subquery() if stretches else parts[0].subquery()


def forget(connection: Connection) -> None:
    """Have everything made anew, also what somebody is just about to write."""
    for table in (MONTHS_MADE, MONTH_SUMS):
        connection.execute(delete(table))
    connection.execute(update(MONTH_VERSIONS).values(version=MONTH_VERSIONS.c.version + 1))


def kinds_made(connection: Connection) -> list[str]:
    """Return those of which something was ever made."""
    return sorted(connection.execute(select(MONTHS_MADE.c.kind).distinct()).scalars())


def without_version(connection: Connection) -> list[date]:
    """Return the months that have runs and no version."""
    months = select(BEGINNINGS["month"](DAYS.c.day).label("month")).distinct()
    known = set(connection.execute(select(MONTH_VERSIONS.c.month)).scalars())
    return sorted(set(connection.execute(months).scalars()) - known)


def held_and_right(connection: Connection, kind: str) -> tuple[list[Row], list[Row]]:
    """Return the rows that are held of the months that count as made, and as they should be."""
    made = {month for month, is_made in _states(connection, kind) if is_made}
    query = select(MONTH_SUMS).where(MONTH_SUMS.c.kind == kind)
    held = [tuple(row) for row in connection.execute(query) if month_of(row.beginning) in made]
    return held, [row for month in sorted(made) for row in _rows(connection, kind, month)]


def _states(connection: Connection, kind: str) -> list[tuple[date, bool]]:
    """Return the months that have runs, in order, and of each whether it is made as it is."""
    rows = connection.execute(_STATES, {"of": kind})
    return [(row.month, row.version == row.made) for row in rows]


def _rows(connection: Connection, kind: str, month: date) -> Iterator[Row]:
    """Add up a month from the sums of days; yield the values of `MONTH_SUMS`."""
    days = _of_days(kind, month, _last_day(month)).subquery()
    values = [days.c[name] for name in COLUMNS_OF.get(kind, ())]
    keys = values or [days.c.day]
    nothing = ("",) * (len(_VALUES) - len(values))
    for row in connection.execute(select(*keys, *summed(days)).group_by(*keys)):
        if kind == BY_DAY:
            yield kind, row.day, *nothing, *row[1:]
        else:
            yield kind, month, *row[: len(values)], *nothing, *row[len(values) :]


def _of_days(kind: str, first: date, last: date) -> Select[Any]:
    table = table_of([kind])
    columns = [table.c[name] for name in ("day", *COLUMNS_OF.get(kind, ()), *_SUMS)]
    # Project by project, as the table is in their order: to look for days alone is to read it all.
    projects = select(TOTALS.c.project)
    return select(*columns).where(table.c.project.in_(projects), table.c.day.between(first, last))


def _made_ones(kind: str, stretches: Sequence[tuple[date, date]]) -> Select[Any]:
    """Return the rows that are not of these stretches of time, as those of days are."""
    day = MONTH_SUMS.c.beginning
    names = COLUMNS_OF.get(kind, ())
    values = [
        MONTH_SUMS.c[column].label(name) for column, name in zip(_VALUES, names, strict=False)
    ]
    others = [not_(day.between(first, last)) for first, last in stretches]
    columns = [MONTH_SUMS.c[name] for name in _SUMS]
    return select(day.label("day"), *values, *columns).where(MONTH_SUMS.c.kind == kind, *others)


def _last_day(month: date) -> date:
    return around("month", month).until_day


def _joined(months: Sequence[tuple[date, date]]) -> Iterator[tuple[date, date]]:
    """Yield the stretches of time that months in order make, those without a gap together."""
    first, last = date.max, date.max
    for number, (begins, ends) in enumerate(months):
        if number and (begins - last).days == 1:
            last = ends
            continue
        if number:
            yield first, last
        first, last = begins, ends
    if months:
        yield first, last
