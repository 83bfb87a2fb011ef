"""`/v1/runs`: listing runs, and reading one."""

from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from pydantic import AfterValidator, BaseModel, Field
from pydantic_core import to_json

from api import runs
from api.access import Access
from api.auth import Reading
from api.db import Database
from api.etags import as_json, etag_of, is_held, tagged_with, unchanged
from api.filters import RunFilters
from api.formats import FORMS, MEDIA_TYPES, Format, chosen, listed_of, streamed
from api.listing import FIELDS, Listing, Order, chunks, page
from api.problems import unknown_run
from api.routes.pages import PAGE_LENGTH, Cursor, FormQuery
from api.settling import settle
from api.tabular import columns_of
from carbon.schema import EpochReport, RunFields, RunReport

router = APIRouter(prefix="/runs", tags=["runs"])

# A page has the fields of a run that were asked for: `RunPage`, where they are all.
_PAGE: dict[str, Any] = {
    "type": "object",
    "properties": {
        "items": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    name: {"$ref": f"#/components/schemas/RunFields/properties/{name}"}
                    for name in FIELDS
                },
                "additionalProperties": False,
            },
        },
        "next_cursor": {"type": ["string", "null"]},
    },
    "required": ["items", "next_cursor"],
}
_LISTS: dict[int | str, dict[str, Any]] = {
    200: {"content": {**FORMS[200]["content"], MEDIA_TYPES["json"]: {"schema": _PAGE}}}
}


_Sort = Literal[
    "-started_at",
    "started_at",
    "-duration_s",
    "duration_s",
    "-energy_kwh",
    "energy_kwh",
    "-emissions_kg",
    "emissions_kg",
]


def _known_fields(text: str) -> str:
    unknown = [name for name in text.split(",") if name not in FIELDS]
    if unknown:
        raise ValueError(
            f"there is no field {', '.join(map(repr, unknown))}; those of a run in a list are "
            f"{', '.join(FIELDS)}"
        )
    return text


class RunQuery(RunFilters):
    """Which runs are asked for, in which order and form."""

    sort: Annotated[
        _Sort, Field(description="`-` is descending. Runs without the value come last.")
    ] = "-started_at"
    fields: Annotated[
        str,
        AfterValidator(_known_fields),
        Field(
            description="The fields wanted, separated by commas; all where it is left out.",
            json_schema_extra={"pattern": listed_of(FIELDS)},
        ),
    ] = ",".join(FIELDS)
    limit: Annotated[
        int | None,
        Field(ge=1, le=1000, description="Of a page 100 by default, of a file all runs."),
    ] = None
    cursor: Cursor = None
    format: Format = None

    def listing(self, access: Access) -> Listing:
        """Return the list that is asked for."""
        order = Order(self.sort.removeprefix("-"), self.sort.startswith("-"))
        return Listing(self, access, order)


@router.get("", response_model=None, responses=_LISTS)
def list_runs(
    request: Request, access: Reading, database: Database, query: Annotated[RunQuery, Query()]
) -> Response:
    """List runs without their nodes and epochs: a page of them as JSON, all of them as a file.

    CSV, Parquet and JSON lines are streamed and hold every run that is asked for, unless `limit`
    says otherwise. A run that is corrected meanwhile is in there as it was when its part was read;
    newest first, a run that arrives meanwhile is not.
    """
    form = chosen(request, query.format)
    fields = tuple(dict.fromkeys(query.fields.split(",")))
    listing = query.listing(access)
    if query.asks_for_labels:
        settle(request.app.state.engine)
    if form != "json":
        rows = chunks(database, listing, fields, query.limit, query.cursor)
        return streamed(form, columns_of(RunFields, fields), rows, "runs")
    with database.begin() as connection:
        items, next_cursor = page(
            connection, listing, fields, query.limit or PAGE_LENGTH, query.cursor
        )
    return as_json(to_json({"items": items, "next_cursor": next_cursor}))


class ReportQuery(BaseModel, extra="forbid"):
    """How much of a report is asked for."""

    series: Annotated[
        bool, Field(description="Whether what was recorded over time comes with it.")
    ] = True
    as_: Annotated[
        Literal["current", "delivered"],
        Field(alias="as", description="With what was corrected, or as the reports have it."),
    ] = "current"


@router.get("/{run_id:run}", response_model=RunReport)
def get_run(
    request: Request,
    access: Reading,
    run_id: UUID,
    database: Database,
    query: Annotated[ReportQuery, Query()],
) -> Response:
    """Read a run's report: it can be PUT to another server unchanged.

    It is what was delivered last, except for what was corrected or costed anew since, unless it is
    asked for with `as=delivered`. Of a run that several nodes reported, it is what their shares
    make together. With
    `series=false` it is smaller, by what was recorded over time: that is then lost elsewhere.
    """
    with database.begin() as connection:
        version = runs.version(connection, access, run_id)
        if version is None:
            raise unknown_run(run_id)
        etag = etag_of(version + f"{query.series} {query.as_}".encode())
        if is_held(request, etag):
            return unchanged(etag)
        report = runs.find(
            connection,
            access,
            run_id,
            with_series=query.series,
            is_as_delivered=query.as_ == "delivered",
        )
    if report is None:
        raise unknown_run(run_id)
    return tagged_with(etag, report.model_dump_json().encode())


@router.get("/{run_id:run}/epochs", response_model=list[EpochReport], responses=FORMS)
def get_epochs(
    request: Request,
    access: Reading,
    run_id: UUID,
    database: Database,
    query: Annotated[FormQuery, Query()],
) -> Response:
    """Read a run's epochs, as a list or as a file."""
    form = chosen(request, query.format)
    with database.begin() as connection:
        epochs = runs.epochs(connection, access, run_id)
    if epochs is None:
        raise unknown_run(run_id)
    if form == "json":
        return as_json(to_json(epochs))
    columns = columns_of(EpochReport, EpochReport.model_fields)
    return streamed(form, columns, [epochs], f"epochs-{run_id}")
