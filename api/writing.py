"""The one place where rows of runs change, and where the sums follow them."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cached_property
from operator import attrgetter
from typing import Any
from uuid import UUID

from pydantic import ValidationError
from sqlalchemy import Connection, Select, bindparam, delete, select, update

from api import factors, labels, rollups, series
from api.inserting import insert_new
from api.overlay import BASES, PLACE, FactorOf, laid_over
from api.problems import ProblemError
from api.quick_reading import fields_of
from api.tables import COSTINGS, RUNS, SERIES, SHARES, UNLABELLED
from carbon.schema import RunFields, RunReport

REPORT_COLUMNS = [RUNS.c[name] for name in RunReport.model_fields if name in RUNS.c]
"""The columns that a report is made of; a run's row has no reporter."""

_REPORT_NAMES = [str(column.name) for column in REPORT_COLUMNS]
_reported = attrgetter(*_REPORT_NAMES)

_MARKET = BASES["market"]
_FIGURES = tuple(name for basis in BASES.values() for name in basis.fields)
_WATCHED = [
    RUNS.c[name]
    for name in dict.fromkeys(
        (
            *rollups.COLUMNS_NEEDED,
            *_FIGURES,
            *("seq", "is_merged", "labels", "corrections", "delivered"),
        )
    )
]
# Made once: SQLAlchemy takes longer to find its way about a new query than the database to answer.
_READ = (
    select(RUNS.c.run_id, *_WATCHED)
    .where(RUNS.c.run_id.in_(bindparam("run_ids", expanding=True)))
    .order_by(RUNS.c.run_id)
)
_LOCKED = _READ.with_for_update()
_UPDATES = update(RUNS).where(RUNS.c.run_id == bindparam("this_run"))


class Writing:
    """What one transaction does to rows of runs: they are held, changed, and the sums follow.

    The transaction writes from its beginning (`api.db.writing`).
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._before: dict[UUID, rollups.Run] = {}
        self._after: dict[UUID, rollups.Run | None] = {}

    def hold(self, run_ids: Sequence[UUID]) -> Mapping[UUID, rollups.Run]:
        """Lock these runs for this transaction; return of those that are there what is counted.

        Always in the same order, so that two transactions never wait for each other.
        """
        found = read(self.connection, run_ids, _LOCKED)
        for run_id, row in found.items():
            self._before.setdefault(run_id, row)
        return found

    def insert(self, rows: Sequence[Mapping[str, Any]]) -> set[UUID]:
        """Insert runs that `hold` did not find; return which, for another server may be faster."""
        if not rows:
            return set()
        if self._market_tables:
            rows = [self._at_market(row) for row in rows]
        inserted = insert_new(self.connection, sorted(rows, key=lambda row: row["run_id"].bytes))
        self._after.update((row["run_id"], row) for row in rows if row["run_id"] in inserted)
        return inserted

    def update(self, run_id: UUID, values: Mapping[str, Any]) -> None:
        """Change some columns of a run that is held."""
        self.update_all({run_id: values})

    def update_all(self, values: Mapping[UUID, Mapping[str, Any]]) -> None:
        """Change some columns of runs that are held: the same ones of each."""
        rows = [{**changed, "this_run": run_id} for run_id, changed in values.items()]
        self.connection.execute(_UPDATES, rows)
        for run_id, changed in values.items():
            self._after[run_id] = {**self._now(run_id), **changed}

    def report(self, report: RunReport, heard_at: datetime, *, is_merged: bool) -> None:
        """Let a run that is held be what a report says, except for what was corrected of it.

        Raises:
            ProblemError: 422, with the corrections it makes no valid run.
        """
        corrections = self._now(report.run_id).get("corrections") or {}
        if not corrections and not self._market_tables:
            self.update(report.run_id, row_of(report, heard_at, is_merged=is_merged))
            return
        said = {name: getattr(report, name) for name in RunFields.model_fields}
        corrections = {**self._market_of(said), **corrections}
        laid = laid_over(said, corrections, self._factor_of)
        try:
            values = {**fields_of(report), **laid}
            corrected = RunReport.model_validate(values, from_attributes=True)
        except ValidationError as error:
            reason = str(error.errors()[0]["msg"])
            raise ProblemError(
                422,
                f"with what was corrected of run {report.run_id} this makes no valid run: {reason}",
            ) from error
        values = row_of(corrected, heard_at, is_merged=is_merged)
        values["corrections"] = corrections or None
        values["delivered"] = {name: said[name] for name in laid} or None
        self.update(report.run_id, values)

    def _at_market(self, row: rollups.Run) -> dict[str, Any]:
        """Return a new run's row with its market-based figure."""
        corrections = self._market_of(row)
        laid = laid_over(row, corrections, self._factor_of)
        delivered = {name: row[name] for name in laid}
        return {**row, **laid, "corrections": corrections or None, "delivered": delivered or None}

    def _market_of(self, said: rollups.Run) -> dict[str, Any]:
        """Return from which table a run has its market-based figure, unless it says one itself.

        It is the one imported last of those that have the run's place.
        """
        if said[_MARKET.intensity] is not None:
            return {}
        place = [said[name] for name in PLACE]
        for version in self._market_tables:
            if self._factor_of(version, *place) is not None:
                return {_MARKET.table: version}
        return {}

    @cached_property
    def _market_tables(self) -> list[str]:
        # Read in each transaction: another server may have imported one since the last.
        return factors.newest_of_markets(self.connection)

    @cached_property
    def _factor_of(self) -> FactorOf:
        return factors.finder(self.connection)

    def _now(self, run_id: UUID) -> rollups.Run:
        return self._after.get(run_id) or self._before.get(run_id, {})

    def delete(self, run_id: UUID) -> None:
        """Remove a run that is held, with what hangs on it."""
        for table in (SERIES, SHARES, COSTINGS, UNLABELLED, RUNS):
            self.connection.execute(delete(table).where(table.c.run_id == run_id))
        self._after[run_id] = None

    def finish(self) -> None:
        """Let the labels and the sums follow."""
        labels.follow(
            self.connection,
            ((run_id, self._before.get(run_id), row) for run_id, row in self._after.items()),
        )
        rollups.apply(
            self.connection,
            ((self._before.get(run_id), row) for run_id, row in self._after.items()),
        )


def read(
    connection: Connection, run_ids: Sequence[UUID], query: Select[Any] = _READ
) -> dict[UUID, dict[str, Any]]:
    """Return of those of these runs that are there what is counted, and what holds of them."""
    rows = connection.execute(query, {"run_ids": run_ids}).mappings()
    return {row["run_id"]: dict(row) for row in rows}


def row_of(report: RunReport, heard_at: datetime, *, is_merged: bool) -> dict[str, Any]:
    """Return the values of a run's row."""
    values = dict(zip(_REPORT_NAMES, _reported(report), strict=True))
    values["nodes"] = series.without_series(report)
    values["labels"] = labels.labels_of(report)
    return values | {"heard_at": heard_at, "is_merged": is_merged}
