"""Totals that do not grow slower: sums kept beside the runs, changed in the same transaction.

Each run is in one row of `totals` (and in that of all projects) and of `days`, and in one of
`node_days` and of `gpu_days` for each node and each model that it ran on. What a report adds is the
difference between what the run is now and what it was: repeats add nothing, corrections and
deletions are exact.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cached_property
from operator import itemgetter
from typing import Any, Self

from sqlalchemy import ColumnElement, Connection, FromClause, Table, bindparam, func, select

from api import breakdown, sums
from api.adding import add
from api.breakdown import PARTS
from api.extremes import Key, Lost, mend
from api.month_versions import count_up
from api.sums import COLUMNS, EXTREMES, Drawn, Tally, extreme_of
from api.tables import DAYS, EVERYTHING, GPU_DAYS, NODE_DAYS, TOTALS

Run = Mapping[str, Any]
_Parts = Mapping[str, Mapping[str, Drawn]]

_OWN = (
    *("project", "strategy", "study", "user", "country_iso_code", "region"),
    *("intensity_source", "intensity_year"),
    *sums.NEEDED,
)

_own = itemgetter(*_OWN)

COLUMNS_NEEDED = tuple(dict.fromkeys((*_OWN, *breakdown.NEEDED)))
"""The columns of a run that decide where it counts and what."""

BY_DAY = (NODE_DAYS, GPU_DAYS, DAYS)
"""The tables of which a row is of one day."""

IN_ORDER = (*BY_DAY, TOTALS)
"""The tables as every transaction writes them: no two wait for each other then."""


# Made once: SQLAlchemy takes longer to put a query together than a database to answer it.
_EVERY_PROJECT = select(TOTALS).where(TOTALS.c.project != EVERYTHING)
_SOME_PROJECTS = select(TOTALS).where(TOTALS.c.project.in_(bindparam("projects", expanding=True)))


@dataclass(frozen=True)
class Part:
    """What a run, or some of what it drew, is in the rows of sums that it counts in.

    Attributes:
        contribution: see `api.sums`.
        ends: the run's values in the columns that `EXTREMES` are of.
    """

    contribution: tuple[int, ...]
    ends: Run

    @cached_property
    def values(self) -> tuple[Any, ...]:
        """A row of this alone, by `COLUMNS` and `EXTREMES`; most are of one run in a change."""
        ends = (self.ends[column] for column, _ in EXTREMES.values())
        return *sums.columns_of(self.contribution), *ends


class Change:
    """What one row of sums is changed by."""

    def __init__(self) -> None:
        self.given: list[Part] = []
        self.taken: list[Part] = []

    def join(self, other: Self) -> None:
        self.given += other.given
        self.taken += other.taken

    @property
    def values(self) -> tuple[Any, ...]:
        """What is added, by `COLUMNS`, and then the `EXTREMES` of the runs that were added."""
        if len(self.given) == 1 and not self.taken:
            return self.given[0].values
        contributions = [part.contribution for part in self.given]
        contributions += [tuple(-count for count in part.contribution) for part in self.taken]
        total = tuple(map(sum, zip(*contributions, strict=True)))
        return *sums.columns_of(total), *self.extremes.values()

    @property
    def extremes(self) -> dict[str, Any]:
        """Those of the runs that were added."""
        return {
            name: extreme_of(choose, [part.ends[column] for part in self.given])
            for name, (column, choose) in EXTREMES.items()
        }

    @property
    def lost(self) -> Lost | None:
        """What was taken from it, if that may leave it empty or without one of its extremes."""
        if not self.taken:
            return None
        gone = {}
        for name, (column, _) in EXTREMES.items():
            given = {part.ends[column] for part in self.given}
            values = {part.ends[column] for part in self.taken} - given - {None}
            if values:
                gone[name] = values
        return Lost(gone, len(self.given), self.extremes) if gone or not self.given else None


def apply(connection: Connection, changes: Iterable[tuple[Run | None, Run | None]]) -> None:
    """Let the sums follow runs that changed.

    Args:
        connection: in the transaction that changes the runs, after it has.
        changes: what each run was, None if it is new, and what it is, None if it is gone; the
            transaction holds the runs' rows. Of each the columns `COLUMNS_NEEDED`.
    """
    changed = changes_of(changes)
    for table in IN_ORDER:
        _write(connection, table, changed[table.name])
    # Last, for others who write wait for it too.
    count_up(connection, (day for _, day, *_ in changed[DAYS.name]))


def changes_of(changes: Iterable[tuple[Run | None, Run | None]]) -> dict[str, dict[Key, Change]]:
    """Return by what each row of each table is changed."""
    changed: dict[str, dict[Key, Change]] = {table.name: defaultdict(Change) for table in IN_ORDER}
    for before, after in changes:
        was, now = _parts_of(before), _parts_of(after)
        if before is not None and after is not None and was == now and _own(before) == _own(after):
            continue
        if before is not None:
            for name, key, part in _rows_of(before, was):
                changed[name][key].taken.append(part)
        if after is not None:
            for name, key, part in _rows_of(after, now):
                changed[name][key].given.append(part)
    totals = changed[TOTALS.name]
    for key, change in [*totals.items()]:
        totals[EVERYTHING, *key[1:]].join(change)
    return changed


def _parts_of(run: Run | None) -> _Parts:
    """Return a run's parts, by the names of their tables."""
    if run is None:
        return {}
    return {name: take_apart(run) for name, take_apart in PARTS.items()}


def _rows_of(run: Run, parts: _Parts) -> Iterator[tuple[str, Key, Part]]:
    """Yield the rows that a run counts in, by table and key, each with what it is there.

    Those over all projects are left out: they are changed by what the projects' are.
    """
    drawn_by_all = Drawn.by(run)
    ends = {column: run[column] for column, _ in EXTREMES.values()}
    whole = Part(sums.contribution(run, drawn_by_all), ends)
    project, day = run["project"], day_of(run)
    yield TOTALS.name, total_key(run), whole
    yield DAYS.name, day_key(run, day), whole
    for table, by_name in parts.items():
        for name, drawn in by_name.items():
            is_whole = drawn == drawn_by_all
            part = whole if is_whole else Part(sums.contribution(run, drawn), ends)
            yield table, (project, day, name), part


@dataclass(frozen=True)
class Total:
    """The runs of a project at one place, by one source of its intensity."""

    project: str
    country_iso_code: str | None
    region: str | None
    intensity_source: str | None
    intensity_year: int | None
    tally: Tally


def totals(connection: Connection, projects: Collection[str] | None) -> list[Total]:
    """Return the totals of some projects, of `EVERYTHING` as one, or for None of every project."""
    if projects is None:
        rows = connection.execute(_EVERY_PROJECT).mappings()
    else:
        rows = connection.execute(_SOME_PROJECTS, {"projects": list(projects)}).mappings()
    return [
        Total(
            row["project"],
            row["country_iso_code"] or None,
            row["region"] or None,
            row["intensity_source"] or None,
            row["intensity_year"] or None,
            Tally.of(dict(row)),
        )
        for row in rows
    ]


def grouped(
    connection: Connection, keys: Sequence[ColumnElement[Any]], *conditions: ColumnElement[bool]
) -> list[tuple[Any, Tally]]:
    """Sum up the days' rows that meet the conditions, by the values of the keys.

    Returns a (row, tally) for each combination that occurs; the row has the keys as attributes.
    """
    query = select(*keys, *summed(DAYS)).where(*conditions).group_by(*keys)
    return [(row, Tally.of(dict(row._mapping))) for row in connection.execute(query)]


def summed(table: FromClause) -> list[ColumnElement[Any]]:
    """Return what makes one row of sums of several rows of this table."""
    columns: list[ColumnElement[Any]] = [func.sum(table.c[name]).label(name) for name in COLUMNS]
    for name, (_, choose) in EXTREMES.items():
        columns.append((func.min if choose is min else func.max)(table.c[name]).label(name))
    return columns


def total_key(run: Run) -> Key:
    """Return the key of its project's row of `TOTALS` that a run counts in."""
    place = run["country_iso_code"] or "", run["region"] or ""
    return run["project"], *place, run["intensity_source"] or "", run["intensity_year"] or 0


def day_of(run: Run) -> date:
    """Return the day on which a run counts: in UTC, that on which it started."""
    started_at: datetime = run["started_at"]
    return started_at.astimezone(UTC).date()


def day_key(run: Run, day: date) -> Key:
    """Return the key of the row of `DAYS` that a run counts in."""
    return (
        run["project"],
        day,
        run["strategy"] or "",
        run["study"] or "",
        run["user"] or "",
        run["country_iso_code"] or "",
        run["region"] or "",
        run["status"],
    )


def _write(connection: Connection, table: Table, changes: Mapping[Key, Change]) -> None:
    # What every writer changes comes last: whoever holds it makes all others wait.
    in_order = sorted(changes.items(), key=lambda change: (change[0][0] == EVERYTHING, change[0]))
    add(connection, table, [(*key, *change.values) for key, change in in_order])
    losses = {key: lost for key, change in in_order if (lost := change.lost) is not None}
    mend(connection, table, losses)
