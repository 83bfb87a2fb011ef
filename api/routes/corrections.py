"""`/v1/runs/{run_id}`: correcting a run, removing it, and what its emissions were before."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel
from pydantic_core import to_json

from api import corrections, costings
from api.auth import Actor, Administering, Reading
from api.bodies import Body, described, parsed
from api.db import Database, writing
from api.etags import as_json
from api.formats import FORMS, as_file, chosen
from api.no_query import NO_QUERY
from api.problems import unknown_run
from api.routes.pages import FormQuery
from carbon.schema import Correction, Costing, Reason, RunFields

router = APIRouter(prefix="/runs", tags=["runs"])


@router.patch("/{run_id:run}", dependencies=[NO_QUERY], openapi_extra=described(Correction))
def correct_run(
    access: Administering, run_id: UUID, body: Body, database: Database, actor: Actor
) -> RunFields:
    """Correct fields of a run; the answer is the run as it is then, without its parts.

    What is corrected holds whatever reports of the run still come, until it is withdrawn. Emissions
    and sums follow. The audit log keeps what was there before, `GET` with `as=delivered` gives what
    the reports say. Nodes and epochs stay as they were delivered.
    """
    correction = parsed(body, Correction, whole="correction")
    with writing(database) as connection:
        return corrections.correct(connection, access, run_id, correction, actor)


class DeletionQuery(BaseModel, extra="forbid"):
    """Why a run is removed."""

    reason: Reason | None = None


@router.delete("/{run_id:run}", status_code=204)
def delete_run(
    access: Administering,
    run_id: UUID,
    database: Database,
    actor: Actor,
    query: Annotated[DeletionQuery, Query()],
) -> None:
    """Remove a run with everything that was kept of it; its sums go with it.

    What it added up to stays in the audit log. A report of it that is still on its way makes it
    anew, without its corrections.
    """
    with writing(database) as connection:
        corrections.delete(connection, access, run_id, actor, query.reason)


@router.get("/{run_id:run}/costings", response_model=list[Costing], responses=FORMS)
def run_costings(
    request: Request,
    access: Reading,
    run_id: UUID,
    database: Database,
    query: Annotated[FormQuery, Query()],
) -> Response:
    """List the figures that the run's emissions have and had, newest first."""
    form = chosen(request, query.format)
    with database.begin() as connection:
        found = costings.of_run(connection, access, run_id)
    if found is None:
        raise unknown_run(run_id)
    if form != "json":
        return as_file(form, Costing, (), found, f"costings-{run_id}")
    return as_json(to_json(found))
