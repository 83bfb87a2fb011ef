"""`/v1/summary`: what everything in the ledger adds up to."""

from fastapi import APIRouter

from api import summaries
from api.auth import Reading
from api.db import Database
from carbon.schema import Summary

router = APIRouter(tags=["summary"])


@router.get("/summary")
def summary(access: Reading, database: Database) -> Summary:
    """Sum up all runs of all projects, or of those that the key is for."""
    with database.begin() as connection:
        return summaries.summary(connection, access, None)
