"""`/v1/audit`: who changed what."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from api import audit
from api.audit import Asked
from api.auth import Reading
from api.db import Database
from api.routes.pages import PageQuery
from carbon.schema import AuditPage, Name, Utc

router = APIRouter(tags=["audit"])


class AuditQuery(PageQuery):
    """Which entries are asked for."""

    project: Name | None = None
    run_id: UUID | None = None
    since: Utc | None = None


@router.get("/audit")
def audit_log(
    access: Reading, database: Database, query: Annotated[AuditQuery, Query()]
) -> AuditPage:
    """List who changed what in the ledger, when and why, newest first.

    Reports that come in are no changes of this kind: a run tells of itself. With a key of some
    projects it is of those, and of what happened within them.
    """
    asked = Asked(query.project, query.run_id, query.since)
    with database.begin() as connection:
        return audit.page(connection, access, asked, query.limit, query.cursor)
