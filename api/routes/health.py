"""`/healthz` and `/readyz`: whether the server lives, and whether it can be sent requests."""

from fastapi import APIRouter, Request
from sqlalchemy import select
from sqlmodel import SQLModel

from api import migrate
from api.db import Database
from api.problems import ProblemError
from carbon.schema import SCHEMA_VERSION, Health

router = APIRouter(tags=["operations"])

_HEALTHY = Health(status="ok", schema_version=SCHEMA_VERSION)


@router.get("/healthz")
async def health() -> Health:
    """Answer 200 while the process lives, whatever its database does.

    Who restarts what is not healthy would help nobody by that when the database is away: for
    whether requests can be sent there is `/readyz`.
    """
    return _HEALTHY


@router.get("/readyz")
def readiness(request: Request, database: Database) -> Health:
    """Answer 200 where the ledger can be read and is of this version, else 503 with the reason."""
    if request.app.state.is_stopping:
        raise ProblemError(503, "the server is shutting down; ask another one")
    with database.begin() as connection:
        revision = migrate.revision_of(connection)
        if revision != migrate.head():
            raise ProblemError(
                503,
                f"the ledger's schema is {revision} by now, and this server works with "
                f"{migrate.head()}; start the version that fits",
            )
        for table in SQLModel.metadata.sorted_tables:
            connection.execute(select(table).limit(0))
    return _HEALTHY
