"""Runs in the database: finding one, listing them."""

from collections.abc import Mapping
from uuid import UUID

from sqlalchemy import Connection, literal, select, tuple_

from api import series
from api.cursors import Cursor
from api.tables import RUNS
from api.writing import REPORT_COLUMNS
from carbon.schema import RunFields, RunPage, RunReport

_FIELD_COLUMNS = [RUNS.c[name] for name in RunFields.model_fields]
_NEWEST_FIRST = (RUNS.c.started_at.desc(), RUNS.c.run_id.desc())


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
