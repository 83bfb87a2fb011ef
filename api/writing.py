"""The one place where rows of runs change, and where the sums follow them."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, bindparam, delete, select, update

from api import labels, rollups, series
from api.inserting import insert_new
from api.tables import RUNS, SERIES, SHARES, UNLABELLED
from carbon.schema import RunReport

REPORT_COLUMNS = [RUNS.c[name] for name in RunReport.model_fields if name in RUNS.c]
"""The columns that a report is made of; a run's row has no reporter."""

_WATCHED = [
    RUNS.c[name] for name in dict.fromkeys((*rollups.COLUMNS_NEEDED, "seq", "is_merged", "labels"))
]
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
        query = (
            select(RUNS.c.run_id, *_WATCHED)
            .where(RUNS.c.run_id.in_(run_ids))
            .order_by(RUNS.c.run_id)
            .with_for_update()
        )
        found = {row["run_id"]: dict(row) for row in self.connection.execute(query).mappings()}
        for run_id, row in found.items():
            self._before.setdefault(run_id, row)
        return found

    def insert(self, rows: Sequence[Mapping[str, Any]]) -> set[UUID]:
        """Insert runs that `hold` did not find; return which, for another server may be faster."""
        if not rows:
            return set()
        inserted = insert_new(self.connection, sorted(rows, key=lambda row: row["run_id"].bytes))
        self._after.update((row["run_id"], row) for row in rows if row["run_id"] in inserted)
        return inserted

    def update(self, run_id: UUID, values: Mapping[str, Any]) -> None:
        """Change some columns of a run that is held."""
        self.connection.execute(_UPDATES, {**values, "this_run": run_id})
        known = self._after.get(run_id) or self._before.get(run_id, {})
        self._after[run_id] = {**known, **values}

    def delete(self, run_id: UUID) -> None:
        """Remove a run that is held, with what hangs on it."""
        for table in (SERIES, SHARES, UNLABELLED, RUNS):
            self.connection.execute(delete(table).where(table.c.run_id == run_id))
        self._after[run_id] = None

    def finish(self) -> None:
        """Let the labels and the sums follow."""
        labels.follow(
            self.connection,
            ((run_id, self._before.get(run_id), row) for run_id, row in self._after.items()),
        )
        changes = [
            (_counted(self._before.get(run_id)), _counted(row))
            for run_id, row in self._after.items()
        ]
        rollups.apply(self.connection, changes)


def _counted(row: rollups.Run | None) -> rollups.Run | None:
    return None if row is None else {name: row[name] for name in rollups.COLUMNS_NEEDED}


def row_of(report: RunReport, heard_at: datetime, *, is_merged: bool) -> dict[str, Any]:
    """Return the values of a run's row."""
    values = {column.name: getattr(report, column.name) for column in REPORT_COLUMNS}
    values["nodes"] = series.without_series(report)
    values["labels"] = labels.labels_of(report)
    return values | {"heard_at": heard_at, "is_merged": is_merged}
