"""`/v1/summary`: what everything in the ledger adds up to, in one answer or by groups."""

from collections.abc import Sequence
from datetime import date
from typing import Annotated, Literal, Self

from fastapi import APIRouter, Query, Request, Response
from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from api import groups, summaries
from api.auth import Reading
from api.db import Database
from api.etags import as_json
from api.filters import Country, listed
from api.formats import FORMS, chosen, listed_of, streamed
from api.groups import FILTERS, KEYS, MOST_KEYS, Grouping
from api.routes.days import as_day
from api.routes.pages import PAGE_LENGTH, LinesQuery
from api.settling import settle_months
from api.tabular import columns_of
from carbon.schema import GroupPage, GroupTotals, Name, Status, Strategy, Summary

router = APIRouter(tags=["summary"])


def _known_keys(text: str | None) -> str | None:
    if text is None:
        return None
    keys = text.split(",")
    if unknown := [key for key in keys if key not in KEYS]:
        raise ValueError(
            f"cannot group by {', '.join(map(repr, unknown))}, but by {', '.join(KEYS)}"
        )
    if len(keys) > MOST_KEYS or len(set(keys)) < len(keys):
        raise ValueError(f"group by at most {MOST_KEYS} keys, each named once")
    return text


class GroupQuery(LinesQuery):
    """By what a summary is grouped, of which runs it is, and in which form it is wanted."""

    group_by: Annotated[
        str | None,
        AfterValidator(_known_keys),
        Field(
            description=f"One key, or two separated by a comma: {', '.join(KEYS)}. Days, weeks (of "
            "ISO 8601, from Monday) and months are in UTC. `node` and `gpu_model` go with these "
            "and with `project`.",
            json_schema_extra={"pattern": listed_of(KEYS, MOST_KEYS)},
        ),
    ] = None
    study: list[Name] = listed("Exact name.")
    strategy: list[Strategy] = listed("How the training was distributed.")
    status: list[Status] = listed("What became of it.")
    user: list[Name] = listed("Who ran it.")
    country: list[Country] = listed("ISO 3166-1 alpha-3 code.")
    region: list[Name] = listed("Region of the country or of a cloud.")
    since: Annotated[
        date | None,
        BeforeValidator(as_day),
        Field(description="Started on that day in UTC or later."),
    ] = None
    until: Annotated[
        date | None,
        BeforeValidator(as_day),
        Field(description="Started on that day in UTC or before."),
    ] = None
    order: Annotated[
        Literal["ascending", "descending"], Field(description="Of the keys, the first one first.")
    ] = "ascending"

    @model_validator(mode="after")
    def _can_be_answered(self) -> Self:
        given = self.model_fields_set - {"group_by"}
        if self.group_by is None:
            if given:
                raise ValueError(
                    f"{', '.join(sorted(given))} without group_by; add what to group by, such as "
                    "group_by=month"
                )
            return self
        if self.since is not None and self.until is not None and self.since > self.until:
            raise ValueError(f"since is {self.since}, after until, {self.until}")
        grouping = self.grouping()
        if missing := grouping.missing():
            key = "node" if "node" in grouping.keys else "gpu_model"
            raise ValueError(
                f"{', '.join(missing)} cannot be asked for with {key}, whose sums are kept by "
                "project and day only"
            )
        return self

    def grouping(self, projects: Sequence[str] | None = None) -> Grouping:
        """Return what is asked for, of these projects; of all of them where it is None."""
        assert self.group_by is not None
        among = {name: tuple(values) for name in FILTERS if (values := getattr(self, name, ()))}
        if projects is not None:
            among["project"] = tuple(projects)
        return Grouping(
            keys=tuple(self.group_by.split(",")),
            among=among,
            since=self.since,
            until=self.until,
            descending=self.order == "descending",
        )


class LedgerGroupQuery(GroupQuery):
    """The same of a whole ledger."""

    project: list[Name] = listed("Exact name.")


@router.get("/summary", response_model=Summary | GroupPage, responses=FORMS)
def summary(
    request: Request,
    access: Reading,
    database: Database,
    query: Annotated[LedgerGroupQuery, Query()],
) -> Response:
    """Sum up all runs of all projects, or of those that the key is for.

    With `group_by` it is some of them, by what they have in common: a page as JSON, and all lines
    as CSV, Parquet or JSON lines.
    """
    if query.group_by is not None:
        return grouped(request, database, query, query.grouping(access.among(query.project)))
    with database.begin() as connection:
        found = summaries.summary(connection, access, None)
    return as_json(found.model_dump_json().encode())


def grouped(
    request: Request, database: Database, query: GroupQuery, grouping: Grouping
) -> Response:
    """Answer with a summary by groups, in the form that is wanted."""
    form = chosen(request, query.format)
    if grouping.kind is not None:
        settle_months(request.app.state.engine, grouping.kind)
    if form != "json":
        rows = groups.chunks(database, grouping, query.limit, query.cursor)
        columns = columns_of(GroupTotals, grouping.fields())
        return streamed(form, columns, rows, "summary")
    with database.begin() as connection:
        lines, next_cursor = groups.page(
            connection, grouping, query.limit or PAGE_LENGTH, query.cursor
        )
    answer = GroupPage(items=lines, next_cursor=next_cursor)
    # What was not asked for is not there; what is there and unknown is null.
    return as_json(answer.model_dump_json(exclude_unset=True).encode())
