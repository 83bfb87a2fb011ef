"""`/v1/runs`: delivering a run's report, reading it, listing runs."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, Field

from api import runs
from api.bodies import Body, report_in
from api.cursors import Cursor
from api.db import Database
from api.ingest import Ingest
from api.problems import ProblemError
from carbon.schema import Accepted, Name, RunPage, RunReport, Status, Strategy


async def _ingest_of(request: Request) -> Ingest:
    ingest: Ingest = request.app.state.ingest
    return ingest


Ingesting = Annotated[Ingest, Depends(_ingest_of)]

router = APIRouter(prefix="/runs", tags=["runs"])

# The body is read by hand, so its schema has to be named by hand as well.
_REPORT_BODY = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/RunReport"}}},
    }
}


@router.put(
    "/{run_id}",
    openapi_extra=_REPORT_BODY,
    responses={201: {"model": Accepted, "description": "The run is new."}},
)
async def put_run(run_id: UUID, body: Body, ingest: Ingesting, response: Response) -> Accepted:
    """Store a run's report, whole. Safe to repeat: the report with the highest `seq` is kept.

    While a run goes on, its reports have the status `running` and the energy so far. One that says
    in `live_interval_s` when to expect the next, and is not heard of any more, is shown as
    `interrupted` until it is heard of again.

    Nodes of one run may each report their share, with a name of its own as `reporter`. The highest
    `seq` of each is kept, and the run is what the shares make together. A report without a
    `reporter` is of the whole run: next to shares it counts only while it tells of nodes and
    attempts that they do not, and then the shares of nodes it tells of are not added to it.
    """
    report = report_in(body, run_id)
    (stored,) = await ingest.store([report])
    if isinstance(stored, ProblemError):
        raise stored
    if stored.created:
        response.status_code = 201
    return stored.accepted


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
