"""`/v1/grid`: the carbon intensities that are known."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field
from pydantic_core import to_json

from api import factors
from api.auth import Reading
from api.db import Database
from api.etags import as_json
from api.formats import FORMS, as_file, chosen
from api.routes.pages import FormQuery
from carbon.grid import all_factors
from carbon.schema import GridFactor, Name

router = APIRouter(tags=["grid"])


class GridQuery(FormQuery):
    """Whose factors are asked for, and in which form."""

    table: Annotated[
        Name | None, Field(description="A factor table's version; the program's own by default.")
    ] = None


@router.get("/grid", response_model=list[GridFactor], responses=FORMS)
def grid(
    request: Request, _access: Reading, database: Database, query: Annotated[GridQuery, Query()]
) -> Response:
    """List the carbon intensity of every country and region, with its source and year."""
    form = chosen(request, query.format)
    if query.table is None:
        found = all_factors()
    else:
        with database.begin() as connection:
            found = factors.factors(connection, query.table)
    if form != "json":
        return as_file(form, GridFactor, (), found, "grid")
    return as_json(to_json(found))
