"""`/v1/audit`: who changed what."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response

from api import audit
from api.audit import Asked
from api.auth import Reading
from api.db import Database
from api.etags import as_json
from api.formats import FORMS, MEDIA_TYPES, chosen, rows_of, streamed
from api.routes.pages import PAGE_LENGTH, LinesQuery
from api.tabular import columns_of
from carbon.schema import AuditEntry, AuditPage, Name, Utc

router = APIRouter(tags=["audit"])


class AuditQuery(LinesQuery):
    """Which entries are asked for, and in which form."""

    project: Name | None = None
    run_id: UUID | None = None
    since: Utc | None = None


@router.get("/audit", response_model=AuditPage, responses=FORMS)
def audit_log(
    request: Request, access: Reading, database: Database, query: Annotated[AuditQuery, Query()]
) -> Response:
    """List who changed what in the ledger, when and why, newest first.

    Reports that come in are no changes of this kind: a run tells of itself. With a key of some
    projects it is of those, and of what happened within them. A page as JSON; all entries as CSV,
    Parquet or JSON lines.
    """
    asked = Asked(query.project, query.run_id, query.since)
    form = chosen(query.format, request.headers.get("accept"), MEDIA_TYPES)
    if form != "json":
        columns = columns_of(AuditEntry, AuditEntry.model_fields)
        entries = audit.entries(database, access, asked, query.limit, query.cursor)
        return streamed(form, columns, (rows_of(columns, some) for some in entries), "audit")
    with database.begin() as connection:
        found = audit.page(connection, access, asked, query.limit or PAGE_LENGTH, query.cursor)
    return as_json(found.model_dump_json().encode())
