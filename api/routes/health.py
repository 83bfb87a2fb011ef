"""`/healthz`: whether the server and its database answer."""

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel
from sqlalchemy import select

from api.db import Database
from api.tables import RUNS
from carbon.schema import SCHEMA_VERSION

router = APIRouter(tags=["health"])


class Health(BaseModel):
    """The answer of a server that can be used, and the newest report it understands."""

    status: Literal["ok"] = "ok"
    schema_version: int = SCHEMA_VERSION


@router.get("/healthz")
def health(database: Database) -> Health:
    """Answer 200 where the ledger can be read, and 503 where it cannot."""
    with database.begin() as connection:
        connection.execute(select(RUNS.c.run_id).limit(1))
    return Health()
