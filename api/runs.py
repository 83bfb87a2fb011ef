"""Runs in the database: storing a report, finding one, listing them."""

from collections.abc import Mapping
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import Connection, literal, select, tuple_, update

from api import series, shares
from api.cursors import Cursor
from api.shares import REPORT_COLUMNS, Stored, insert_new, row_of
from api.tables import RUNS
from carbon.schema import Accepted, RunFields, RunPage, RunReport

_FIELD_COLUMNS = [RUNS.c[name] for name in RunFields.model_fields]
_NEWEST_FIRST = (RUNS.c.started_at.desc(), RUNS.c.run_id.desc())


def store(connection: Connection, report: RunReport) -> Stored:
    """Keep the report if its run is new or its sequence number higher than the one held.

    Two statements that each look and write at once, so that concurrent writers of one run cannot
    overtake each other. The first one writes: SQLite then waits for its turn, where a read that
    becomes a write fails. A share of a run, or a report of a run that has shares, takes the way of
    `api.shares`.

    Raises:
        ProblemError: 422, a share that makes no valid run together with the others.
    """
    now = datetime.now(UTC)
    if report.reporter is not None:
        return shares.store(connection, report, now)
    values = row_of(report, now, is_merged=False)
    if insert_new(connection, values):
        series.replace(connection, report)
        return Stored(Accepted(run_id=report.run_id, seq=report.seq), created=True)
    this_run = RUNS.c.run_id == report.run_id
    changed = connection.execute(
        update(RUNS)
        .where(this_run, RUNS.c.seq < report.seq, RUNS.c.is_merged.is_not(True))
        .values(values)
    )
    if changed.rowcount:
        series.replace(connection, report)
    held = connection.execute(select(RUNS.c.seq, RUNS.c.is_merged).where(this_run)).one()
    if held.is_merged:
        return shares.store(connection, report, now)
    return Stored(Accepted(run_id=report.run_id, seq=held.seq), created=False)


def find(connection: Connection, run_id: UUID, *, with_series: bool = True) -> RunReport | None:
    """Return a run's report, whole, or None for a run that is not in the ledger."""
    query = select(*REPORT_COLUMNS).where(RUNS.c.run_id == run_id)
    row = connection.execute(query).mappings().first()
    if row is None:
        return None
    values = dict(row)
    if with_series:
        values["nodes"] = series.put_back(connection, run_id, values["nodes"])
    return RunReport.model_validate(values)


def page(
    connection: Connection, filters: Mapping[str, str | None], limit: int, after: Cursor | None
) -> RunPage:
    """Return at most `limit` runs, newest first, from `after` on.

    Args:
        connection: a connection to the ledger.
        filters: values that columns must have, by their names; None is any value.
        limit: the most runs to return.
        after: the last run of the page before.
    """
    query = select(*_FIELD_COLUMNS).order_by(*_NEWEST_FIRST).limit(limit + 1)
    query = query.where(
        *(RUNS.c[key] == value for key, value in filters.items() if value is not None)
    )
    if after is not None:
        place = tuple_(
            literal(after.started_at, RUNS.c.started_at.type),
            literal(after.run_id, RUNS.c.run_id.type),
        )
        query = query.where(tuple_(RUNS.c.started_at, RUNS.c.run_id) < place)
    runs = [RunFields.model_validate(dict(row)) for row in connection.execute(query).mappings()]
    if len(runs) <= limit:
        return RunPage(items=runs)
    last = runs[limit - 1]
    return RunPage(items=runs[:limit], next_cursor=Cursor(last.started_at, last.run_id).encode())


def last(connection: Connection, project: str | None) -> RunFields | None:
    """Return the run that started last, of a project or of all."""
    newest = page(connection, {"project": project}, 1, None).items
    return newest[0] if newest else None


def comparable(connection: Connection, project: str) -> list[RunReport]:
    """Return the completed runs of a project's studies, without their nodes, oldest first."""
    columns = [column for column in REPORT_COLUMNS if column.name != "nodes"]
    query = (
        select(*columns)
        .where(
            RUNS.c.project == project,
            RUNS.c.status == "completed",
            RUNS.c.study.is_not(None),
        )
        .order_by(RUNS.c.started_at, RUNS.c.run_id)
    )
    rows = connection.execute(query).mappings()
    return [RunReport.model_validate(dict(row)) for row in rows]


def has_project(connection: Connection, project: str) -> bool:
    """Tell whether the ledger holds a run of this project."""
    query = select(RUNS.c.run_id).where(RUNS.c.project == project).limit(1)
    return connection.execute(query).first() is not None
