"""`/v1/grid`: the carbon intensities that are known."""

from fastapi import APIRouter

from api.auth import Reading
from carbon.grid import all_factors
from carbon.schema import GridFactor

router = APIRouter(tags=["grid"])


@router.get("/grid")
def grid(_access: Reading) -> list[GridFactor]:
    """List the carbon intensity of every country and region, with its source and year."""
    return all_factors()
