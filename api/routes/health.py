"""`/healthz`: whether the server and its database answer."""

from fastapi import APIRouter
from sqlalchemy import select

from api.db import Database
from api.tables import RUNS
from carbon.schema import SCHEMA_VERSION, Health

router = APIRouter(tags=["health"])


@router.get("/healthz")
def health(database: Database) -> Health:
    """Answer 200 where the ledger can be read, and 503 where it cannot."""
    with database.begin() as connection:
        connection.execute(select(RUNS.c.run_id).limit(1))
    return Health(status="ok", schema_version=SCHEMA_VERSION)
