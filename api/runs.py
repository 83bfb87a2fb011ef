"""Runs in the database: finding one, those that can be compared."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any
from uuid import UUID

from pydantic_core import to_json
from sqlalchemy import ColumnElement, Connection, Select, and_, bindparam, select

from api import series
from api.access import Access
from api.overlay import as_delivered
from api.tables import RUNS
from api.writing import REPORT_COLUMNS
from carbon.schema import EpochReport, RunFields, RunReport

_FIELD_COLUMNS = [RUNS.c[name] for name in RunFields.model_fields]
_BY_ID = select(*REPORT_COLUMNS).where(RUNS.c.run_id.in_(bindparam("run_ids", expanding=True)))
_READ_TOGETHER = 500
_NEWEST_FIRST = (RUNS.c.started_at.desc(), RUNS.c.run_id.desc())
_LAST = select(*_FIELD_COLUMNS).order_by(*_NEWEST_FIRST).limit(1)
_LAST_OF = _LAST.where(RUNS.c.project == bindparam("project"))


def find(
    connection: Connection,
    access: Access,
    run_id: UUID,
    *,
    with_series: bool = True,
    is_as_delivered: bool = False,
) -> RunReport | None:
    """Return a run's report, whole, or None for a run that is not there.

    As it was delivered it may be of another project, and is there for those who may see that one.
    """
    query = select(*REPORT_COLUMNS, RUNS.c.delivered).where(_this(run_id, access))
    row = connection.execute(query).mappings().first()
    if row is None:
        return None
    values = dict(row)
    if is_as_delivered:
        values = as_delivered(values)
        if not access.admits(values["project"]):
            return None
    else:
        del values["delivered"]
    if with_series:
        values["nodes"] = series.put_back(connection, run_id, values["nodes"])
    return RunReport.model_validate(values)


def version(connection: Connection, access: Access, run_id: UUID) -> bytes | None:
    """Return what changes whenever the run's report does, or None for a run that is not there.

    It is made of all but the lists, and says when they came: no list need be read for it.
    """
    row = connection.execute(
        select(*_FIELD_COLUMNS, RUNS.c.heard_at).where(_this(run_id, access))
    ).first()
    return None if row is None else to_json(tuple(row))


def epochs(connection: Connection, access: Access, run_id: UUID) -> list[dict[str, Any]] | None:
    """Return a run's epochs, or None for a run that is not there."""
    row = connection.execute(select(RUNS.c.epochs).where(_this(run_id, access))).first()
    if row is None:
        return None
    return [EpochReport.model_validate(epoch).model_dump() for epoch in row.epochs]


def last(connection: Connection, projects: Iterable[str] | None) -> RunFields | None:
    """Return the run that started last, of these projects or for None of all."""
    # One after the other: each is the first line of an index then.
    asked: list[tuple[Select[Any], dict[str, str]]] = [(_LAST, {})]
    if projects is not None:
        asked = [(_LAST_OF, {"project": project}) for project in projects]
    answers = (connection.execute(*each).mappings().first() for each in asked)
    found = [row for row in answers if row is not None]
    row = max(found, key=lambda row: (row["started_at"], row["run_id"]), default=None)
    return None if row is None else RunFields.model_validate(dict(row))


def _this(run_id: UUID, access: Access) -> ColumnElement[bool]:
    return and_(RUNS.c.run_id == run_id, access.covers(RUNS.c.project))


def comparable(connection: Connection, project: str, study: str) -> list[RunReport]:
    """Return the completed runs of a project's study, without series, oldest first."""
    query = _completed(project, *REPORT_COLUMNS).where(RUNS.c.study == study)
    return [RunReport.model_validate(dict(row)) for row in connection.execute(query).mappings()]


def comparable_by_study(
    connection: Connection, project: str
) -> Iterator[tuple[str, list[RunReport]]]:
    """Yield each study of a project with what `comparable` returns of it, by the study's name.

    No more than one study's runs are held at a time.
    """
    run_ids: dict[str, list[UUID]] = defaultdict(list)
    query = _completed(project, RUNS.c.study, RUNS.c.run_id).where(RUNS.c.study.is_not(None))
    for study, run_id in connection.execute(query):
        run_ids[study].append(run_id)
    for study in sorted(run_ids):
        yield study, list(_found(connection, run_ids[study]))


def _completed(project: str, *columns: Any) -> Select[Any]:
    is_asked = RUNS.c.project == project, RUNS.c.status == "completed"
    return select(*columns).where(*is_asked).order_by(RUNS.c.started_at, RUNS.c.run_id)


def _found(connection: Connection, run_ids: Sequence[UUID]) -> Iterator[RunReport]:
    """Yield these runs, in this order."""
    for start in range(0, len(run_ids), _READ_TOGETHER):
        some = run_ids[start : start + _READ_TOGETHER]
        rows = connection.execute(_BY_ID, {"run_ids": some}).mappings()
        by_id = {row["run_id"]: row for row in rows}
        yield from (RunReport.model_validate(dict(by_id[run_id])) for run_id in some)


def has_project(connection: Connection, project: str) -> bool:
    """Tell whether the ledger holds a run of this project."""
    query = select(RUNS.c.run_id).where(RUNS.c.project == project).limit(1)
    return connection.execute(query).first() is not None


def has_study(connection: Connection, project: str, study: str) -> bool:
    """Tell whether the ledger holds a run of this study of this project."""
    of_study = (RUNS.c.study == study, RUNS.c.project == project)
    return connection.execute(select(RUNS.c.run_id).where(*of_study).limit(1)).first() is not None
