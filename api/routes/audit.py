"""`/v1/audit` and `/v1/runs/{run_id}/audit`: who changed what."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from sqlalchemy import Engine

from api import audit
from api.access import Access
from api.audit import Asked
from api.auth import Reading
from api.db import Database
from api.etags import as_json
from api.formats import FORMS, chosen, rows_of, streamed
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
    return _answer(request, access, database, asked, query)


@router.get("/runs/{run_id:run}/audit", response_model=AuditPage, responses=FORMS)
def run_audit(
    request: Request,
    access: Reading,
    run_id: UUID,
    database: Database,
    query: Annotated[LinesQuery, Query()],
) -> Response:
    """List what was changed of a run by hand, newest first; also of one that was removed.

    Of a re-costing of several runs with it there are the sums over them.

    A page as JSON; all entries as CSV, Parquet or JSON lines.
    """
    return _answer(request, access, database, Asked(run_id=run_id), query)


def _answer(
    request: Request, access: Access, database: Engine, asked: Asked, query: LinesQuery
) -> Response:
    form = chosen(request, query.format)
    if form != "json":
        columns = columns_of(AuditEntry, AuditEntry.model_fields)
        entries = audit.entries(database, access, asked, query.limit, query.cursor)
        return streamed(form, columns, (rows_of(columns, some) for some in entries), "audit")
    with database.begin() as connection:
        found = audit.page(connection, access, asked, query.limit or PAGE_LENGTH, query.cursor)
    return as_json(found.model_dump_json().encode())
