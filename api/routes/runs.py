"""`/v1/runs`: listing runs, and reading one."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from api import runs
from api.cursors import Cursor
from api.db import Database
from api.problems import ProblemError
from carbon.schema import Name, RunPage, RunReport, Status, Strategy

router = APIRouter(prefix="/runs", tags=["runs"])


class RunQuery(BaseModel, extra="forbid"):
    """Which runs are asked for; a misspelt filter is refused, not ignored."""

    project: Name | None = None
    study: Name | None = None
    strategy: Strategy | None = None
    status: Status | None = None
    limit: Annotated[int, Field(ge=1, le=1000)] = 100
    cursor: Annotated[str | None, Field(description="`next_cursor` of the page before.")] = None


@router.get("")
def list_runs(database: Database, query: Annotated[RunQuery, Query()]) -> RunPage:
    """List runs, newest first, without their nodes and epochs."""
    filters = query.model_dump(include={"project", "study", "strategy", "status"})
    after = None if query.cursor is None else Cursor.decode(query.cursor)
    with database.begin() as connection:
        return runs.page(connection, filters, query.limit, after)


class ReportQuery(BaseModel, extra="forbid"):
    """How much of a report is asked for."""

    series: Annotated[
        bool, Field(description="Whether what was recorded over time comes with it.")
    ] = True


@router.get("/{run_id}")
def get_run(run_id: UUID, database: Database, query: Annotated[ReportQuery, Query()]) -> RunReport:
    """Read a run's report as it was delivered: it can be PUT to another server unchanged.

    Of a run that several nodes reported, it is what their shares make together. With
    `series=false` it is smaller, by what was recorded over time: that is then lost elsewhere.
    """
    with database.begin() as connection:
        report = runs.find(connection, run_id, with_series=query.series)
    if report is None:
        raise ProblemError(404, f"there is no run {run_id} in this ledger")
    return report
