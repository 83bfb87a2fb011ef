"""`/v1/factor-tables` and `/v1/recost`: tables of carbon intensities, and costing runs with one."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic_core import to_json

from api import audit, costings, factors
from api.audit import Deed
from api.auth import Actor, Administering, Reading
from api.bodies import Body, described, parsed
from api.db import Database, writing
from api.etags import as_json
from api.formats import FORMS, as_file, chosen
from api.no_query import NO_QUERY
from api.routes.pages import FormQuery
from carbon.schema import FactorTable, FactorTableInfo, Recosted, RecostOrder

router = APIRouter(tags=["factors"])

_TOLD = {"kind", "source", "year"}


@router.get("/factor-tables", response_model=list[FactorTableInfo], responses=FORMS)
def list_factor_tables(
    request: Request, _access: Reading, database: Database, query: Annotated[FormQuery, Query()]
) -> Response:
    """List the factor tables that runs can be costed with, the one imported last first."""
    form = chosen(request, query.format)
    with database.begin() as connection:
        found = factors.tables(connection)
    if form != "json":
        return as_file(form, FactorTableInfo, ("version",), found, "factor-tables")
    return as_json(to_json(found))


@router.post(
    "/factor-tables",
    dependencies=[NO_QUERY],
    openapi_extra=described(FactorTable),
    responses={201: {"model": FactorTableInfo, "description": "The table is new."}},
)
def post_factor_table(
    access: Administering, body: Body, database: Database, actor: Actor, response: Response
) -> FactorTableInfo:
    """Keep a factor table under its version's name; tables do not change. Safe to repeat.

    A key that imports one is for all projects: everyone can cost runs with it.
    """
    access.require_all_projects("factor tables are")
    table = parsed(body, FactorTable, whole="table")
    with writing(database) as connection:
        if factors.keep(connection, table):
            response.status_code = 201
            kept = {"factor_table": table.version, **table.model_dump(include=_TOLD)}
            audit.add(connection, Deed(actor, "import"), {}, kept, runs=0)
        (info,) = (t for t in factors.tables(connection) if t.version == table.version)
    return info


@router.post("/recost", dependencies=[NO_QUERY], openapi_extra=described(RecostOrder))
def post_recost(access: Administering, body: Body, database: Database, actor: Actor) -> Recosted:
    """Cost runs with a factor table: their emissions and the sums follow, old figures are kept.

    Goes through `limit` runs at most, some in each transaction, so that others can write in
    between; `next_cursor` of the answer goes into the next request. With `dry_run` nothing is
    changed. Runs at a place that the table does not have stay as they are, and so do runs whose
    intensity was corrected by hand. With a key of some projects it is about those.
    """
    order = parsed(body, RecostOrder, whole="order")
    return costings.recost(database, access, order, actor)
