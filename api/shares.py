"""Runs of several nodes: each node reports its share, and the run's row is what they make together.

`shares` holds the latest report of every node, and of the whole run where such a report came too.
The row in `runs` follows from these alone, in whatever order they came.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import Connection, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from api import series
from api.problems import ProblemError
from api.tables import RUNS, SHARES
from carbon.schema import Accepted, RunReport
from carbon.shares import counted, interrupted, merge_reports

WHOLE = ""
"""What stands for the reporter of a report of the whole run."""

REPORT_COLUMNS = [RUNS.c[name] for name in RunReport.model_fields if name in RUNS.c]
"""The columns that a report is made of; a run's row has no reporter."""

# Both databases know the same ON CONFLICT clause, but SQLAlchemy has it in each dialect apart.
_INSERT_NEW = {
    name: dialect.insert(RUNS)
    .on_conflict_do_nothing(index_elements=["run_id"])
    .returning(RUNS.c.run_id)
    for name, dialect in (("sqlite", sqlite), ("postgresql", postgresql))
}

Outcome = Literal["created", "updated", "outdated"]
"""What becomes of a report: of a new run, not older than what was held, older than that."""


@dataclass(frozen=True)
class Stored:
    """What became of a report: the answer to its sender, and whether the run was new."""

    accepted: Accepted
    created: bool

    def outcome_of(self, report: RunReport) -> Outcome:
        """Say in a word what became of it."""
        if self.created:
            return "created"
        return "outdated" if self.accepted.seq > report.seq else "updated"


def insert_new(connection: Connection, values: Mapping[str, Any]) -> bool:
    """Insert a run's row where there is none yet, and tell whether there was none."""
    statement = _INSERT_NEW[connection.dialect.name]
    return connection.execute(statement, dict(values)).first() is not None


def row_of(report: RunReport, heard_at: datetime, *, is_merged: bool) -> dict[str, Any]:
    """Return the values of a run's row."""
    values = {column.name: getattr(report, column.name) for column in REPORT_COLUMNS}
    values["nodes"] = series.without_series(report)
    return values | {"heard_at": heard_at, "is_merged": is_merged}


def store(connection: Connection, report: RunReport, heard_at: datetime) -> Stored:
    """Keep a share if it is new or its sequence number higher than the one held of it.

    The run's row is locked before the shares are read (SQLite locks everything with the first
    write), so that two nodes that report at once both count.

    Raises:
        ProblemError: 422, together with the other shares this makes no valid run.
    """
    run_id = report.run_id
    reporter = WHOLE if report.reporter is None else report.reporter
    created = insert_new(connection, row_of(report, heard_at, is_merged=True))
    if created:
        series.replace(connection, report)
    else:
        columns = (*REPORT_COLUMNS, RUNS.c.heard_at, RUNS.c.is_merged)
        query = select(*columns).where(RUNS.c.run_id == run_id).with_for_update()
        row = dict(connection.execute(query).mappings().one())
        row_heard_at, is_merged = row.pop("heard_at"), row.pop("is_merged")
        if not is_merged:
            row["nodes"] = series.put_back(connection, run_id, row["nodes"])
            _keep(connection, RunReport.model_validate(row), WHOLE, row_heard_at or heard_at)
    held_seq = _keep(connection, report, reporter, heard_at)
    if not created:
        merge_again(connection, run_id)
    return Stored(Accepted(run_id=run_id, seq=held_seq), created)


def merge_again(connection: Connection, run_id: UUID) -> None:
    """Make the run's row anew of its shares; the caller's transaction holds the run.

    Raises:
        ProblemError: 422, the shares make no valid run.
    """
    rows = connection.execute(select(SHARES).where(SHARES.c.run_id == run_id)).all()
    reports = [RunReport.model_validate(row.report) for row in rows]
    reports = [
        interrupted(report) if row.is_lost else report
        for row, report in zip(rows, reports, strict=True)
    ]
    try:
        merged = merge_reports(counted(reports))
    except ValueError as error:
        reason = str(error).splitlines()[0]
        raise ProblemError(
            422, f"together with the other nodes' shares this makes no valid run: {reason}"
        ) from error
    values = row_of(merged, max(row.heard_at for row in rows), is_merged=True)
    connection.execute(update(RUNS).where(RUNS.c.run_id == run_id).values(values))
    series.replace(connection, merged)


def _keep(connection: Connection, report: RunReport, reporter: str, heard_at: datetime) -> int:
    """Keep the report unless one of at least its number is held, and return the number held."""
    this = (SHARES.c.run_id == report.run_id, SHARES.c.reporter == reporter)
    values = {
        "seq": report.seq,
        "heard_at": heard_at,
        "live_interval_s": report.live_interval_s if report.status == "running" else None,
        "is_lost": False,
        "report": report.model_dump(mode="json"),
    }
    held = connection.execute(select(SHARES.c.seq).where(*this)).scalar_one_or_none()
    if held is None:
        names = {"run_id": report.run_id, "reporter": reporter}
        connection.execute(insert(SHARES).values(names | values))
    elif held < report.seq:
        connection.execute(update(SHARES).where(*this).values(values))
    return report.seq if held is None else max(held, report.seq)
