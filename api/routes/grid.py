"""`/v1/grid`: the carbon intensities that are known."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from api import factors
from api.auth import Reading
from api.db import Database
from carbon.grid import all_factors
from carbon.schema import GridFactor, Name

router = APIRouter(tags=["grid"])


class GridQuery(BaseModel, extra="forbid"):
    """Whose factors are asked for."""

    table: Annotated[
        Name | None, Field(description="A factor table's version; the program's own by default.")
    ] = None


@router.get("/grid")
def grid(
    _access: Reading, database: Database, query: Annotated[GridQuery, Query()]
) -> list[GridFactor]:
    """List the carbon intensity of every country and region, with its source and year."""
    if query.table is None:
        return all_factors()
    with database.begin() as connection:
        return factors.factors(connection, query.table)
