"""Totals that do not grow slower: sums kept beside the runs, changed in the same transaction.

Each run is in one row of each table here. What a report adds to it is the difference between what
the run is now and what it was: repeats add nothing, corrections and deletions are exact.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, func, select

from api import sums
from api.adding import add
from api.extremes import Key, Lost, mend
from api.sums import COLUMNS, EXTREMES, Tally, extreme_of
from api.tables import DAYS, EVERYTHING, TOTALS

Run = Mapping[str, Any]

COLUMNS_NEEDED = (
    *("project", "strategy", "study", "user", "country_iso_code", "region"),
    *("intensity_source", "intensity_year"),
    *(name for name in sums.NEEDED),
)
"""The columns of a run that decide where it counts and what."""


class Change:
    """What one row of sums is changed by."""

    def __init__(self) -> None:
        self._contributions: list[tuple[int, ...]] = []
        self._given: list[Run] = []
        self._taken: list[Run] = []

    def add(self, run: Run, contribution: tuple[int, ...]) -> None:
        self._contributions.append(contribution)
        self._given.append(run)

    def take(self, run: Run, contribution: tuple[int, ...]) -> None:
        self._contributions.append(tuple(-count for count in contribution))
        self._taken.append(run)

    @property
    def added(self) -> dict[str, int]:
        """By the names of `COLUMNS`."""
        return dict(zip(COLUMNS, map(sum, zip(*self._contributions, strict=True)), strict=True))

    @property
    def extremes(self) -> dict[str, Any]:
        """Those of the runs that were added."""
        return {
            name: extreme_of(choose, {run[column] for run in self._given})
            for name, (column, choose) in EXTREMES.items()
        }

    @property
    def lost(self) -> Lost | None:
        """What was taken from it, if that may leave it empty or without one of its extremes."""
        if not self._taken:
            return None
        gone = {}
        for name, (column, _) in EXTREMES.items():
            given = {run[column] for run in self._given}
            values = {run[column] for run in self._taken} - given - {None}
            if values:
                gone[name] = values
        return Lost(gone, len(self._given), self.extremes) if gone or not self._given else None


def apply(connection: Connection, changes: Iterable[tuple[Run | None, Run | None]]) -> None:
    """Let the sums follow runs that changed.

    Args:
        connection: in the transaction that changes the runs, after it has.
        changes: what each run was, None if it is new, and what it is, None if it is gone; the
            transaction holds the runs' rows. Of each the columns `COLUMNS_NEEDED`.
    """
    changed = changes_of(changes)
    # Always in this order, and in that of the keys: no two transactions wait for each other then.
    _write(connection, DAYS, changed[DAYS.name])
    _write(connection, TOTALS, changed[TOTALS.name])


def changes_of(changes: Iterable[tuple[Run | None, Run | None]]) -> dict[str, dict[Key, Change]]:
    """Return by what each row of each table is changed."""
    totals: dict[Key, Change] = defaultdict(Change)
    days: dict[Key, Change] = defaultdict(Change)
    for before, after in changes:
        if before == after:
            continue
        for run, is_added in ((before, False), (after, True)):
            if run is None:
                continue
            contribution = sums.contribution(run)
            for rows, key in (
                (totals, total_key(run, run["project"])),
                (totals, total_key(run, EVERYTHING)),
                (days, day_key(run)),
            ):
                (rows[key].add if is_added else rows[key].take)(run, contribution)
    return {DAYS.name: days, TOTALS.name: totals}


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
    is_asked = TOTALS.c.project != EVERYTHING
    if projects is not None:
        is_asked = TOTALS.c.project.in_(projects)
    rows = connection.execute(select(TOTALS).where(is_asked)).mappings()
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
    summed: list[ColumnElement[Any]] = [func.sum(DAYS.c[name]).label(name) for name in COLUMNS]
    for name, (_, choose) in EXTREMES.items():
        summed.append((func.min if choose is min else func.max)(DAYS.c[name]).label(name))
    query = select(*keys, *summed).where(*conditions).group_by(*keys)
    return [(row, Tally.of(dict(row._mapping))) for row in connection.execute(query)]


def total_key(run: Run, project: str) -> Key:
    """Return the key of the row of `TOTALS` that a run counts in."""
    place = run["country_iso_code"] or "", run["region"] or ""
    return project, *place, run["intensity_source"] or "", run["intensity_year"] or 0


def day_of(run: Run) -> date:
    """Return the day on which a run counts: in UTC, that on which it started."""
    started_at: datetime = run["started_at"]
    return started_at.astimezone(UTC).date()


def day_key(run: Run) -> Key:
    """Return the key of the row of `DAYS` that a run counts in."""
    return (
        run["project"],
        day_of(run),
        run["strategy"] or "",
        run["study"] or "",
        run["user"] or "",
        run["country_iso_code"] or "",
        run["region"] or "",
    )


def _write(connection: Connection, table: Table, changes: Mapping[Key, Change]) -> None:
    names = [str(column.name) for column in table.primary_key]  # SQLAlchemy's own are slow.
    # What every writer changes comes last: whoever holds it makes all others wait.
    in_order = sorted(changes.items(), key=lambda change: (change[0][0] == EVERYTHING, change[0]))
    rows = [
        dict(zip(names, key, strict=True)) | change.added | change.extremes
        for key, change in in_order
    ]
    add(connection, table, rows)
    losses = {key: lost for key, change in in_order if (lost := change.lost) is not None}
    mend(connection, table, losses)
