"""`/v1/projects`: the projects, and what one of them adds up to."""

from typing import Annotated, TypeVar

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic_core import to_json

from api import cursors, runs, summaries
from api.auth import Administering, Reading
from api.cursors import microseconds
from api.db import Database
from api.etags import as_json
from api.formats import FORMS, as_file, chosen
from api.prices import DefaultPrice
from api.problems import ProblemError, cut
from api.routes.pages import PAGE_LENGTH, FormQuery, LinesQuery
from api.routes.summaries import GroupQuery, grouped
from carbon.analysis.tradeoff import scaling, tradeoff
from carbon.schema import (
    GroupPage,
    Name,
    ProjectPage,
    ProjectTotals,
    Scaling,
    StudyPage,
    StudyTotals,
    Summary,
    Totals,
    Tradeoff,
    TradeoffPoint,
)

L = TypeVar("L", bound=Totals)

router = APIRouter(prefix="/projects", tags=["projects"])


ProjectName = Annotated[Name, Path(description="Percent-encoded; a slash is %2F.")]
StudyName = Annotated[Name, Path(description="Percent-encoded; a slash is %2F.")]


async def _readable(project: ProjectName, access: Reading) -> str:
    if not access.admits(project):
        raise unknown(project)
    return project


ReadableProject = Annotated[str, Depends(_readable)]
"""A project in a path that the request may read: of another one it is told that there is none."""


async def _administered(project: ProjectName, access: Administering) -> str:
    access.require_project(project)
    return project


AdministeredProject = Annotated[str, Depends(_administered)]
"""A project in a path whose terms the request may set; it need not have runs yet."""


@router.get("", response_model=ProjectPage, responses=FORMS)
def list_projects(
    request: Request, access: Reading, database: Database, query: Annotated[LinesQuery, Query()]
) -> Response:
    """List the projects with their totals, the one with the newest run first.

    A page as JSON; all of them as CSV, Parquet or JSON lines.
    """
    form = chosen(request, query.format)
    with database.begin() as connection:
        lines = summaries.projects(connection, access)
    items, next_cursor = _part(lines, "project", query, form, ["projects", access.among([])])
    if form != "json":
        return as_file(form, ProjectTotals, ("project",), items, "projects")
    return as_json(to_json(ProjectPage(items=items, next_cursor=next_cursor)))


@router.get("/{project:project}/studies", response_model=StudyPage, responses=FORMS)
def list_studies(
    request: Request,
    project: ReadableProject,
    database: Database,
    query: Annotated[LinesQuery, Query()],
) -> Response:
    """List a project's studies with their totals, the one with the newest run first.

    A page as JSON; all of them as CSV, Parquet or JSON lines.
    """
    form = chosen(request, query.format)
    with database.begin() as connection:
        if not runs.has_project(connection, project):
            raise unknown(project)
        lines = summaries.studies(connection, project)
    items, next_cursor = _part(lines, "study", query, form, ["studies", project])
    if form != "json":
        return as_file(form, StudyTotals, ("project", "study"), items, "studies")
    return as_json(to_json(StudyPage(items=items, next_cursor=next_cursor)))


@router.get(
    "/{project:project}/studies/{study:project}/scaling", response_model=Scaling, responses=FORMS
)
def study_scaling(
    request: Request,
    project: ReadableProject,
    study: StudyName,
    database: Database,
    query: Annotated[FormQuery, Query()],
) -> Response:
    """Compare the configurations of one study: energy against speedup.

    As CSV, Parquet or JSON lines it is the points alone. Where the names hold "/studies/"
    themselves, the last one is where the study's begins.
    """
    form = chosen(request, query.format)
    with database.begin() as connection:
        if not runs.has_project(connection, project):
            raise unknown(project)
        compared = runs.comparable(connection, project, study)
        if not compared and not runs.has_study(connection, project, study):
            raise ProblemError(
                404,
                f"project {cut(project)!r} has no study {cut(study)!r}; "
                "see /v1/projects/{project}/studies for those",
            )
    found = scaling(project, study, compared)
    if form != "json":
        return as_file(form, TradeoffPoint, (), found.points, "scaling")
    return as_json(found.model_dump_json().encode())


@router.get("/{project:project}/summary", response_model=Summary | GroupPage, responses=FORMS)
def project_summary(
    request: Request,
    access: Reading,
    project: ReadableProject,
    database: Database,
    price: DefaultPrice,
    query: Annotated[GroupQuery, Query()],
) -> Response:
    """Sum up all runs of a project; with `group_by`, some of them as `/v1/summary` does."""
    if query.group_by is None:
        with database.begin() as connection:
            found = summaries.summary(connection, access, project, price)
        if not found.runs:
            raise unknown(project)
        return as_json(found.model_dump_json().encode())
    with database.begin() as connection:
        if not runs.has_project(connection, project):
            raise unknown(project)
    return grouped(request, database, query, query.grouping([project]))


@router.get("/{project:project}/tradeoff", response_model=Tradeoff, responses=FORMS)
def project_tradeoff(
    request: Request,
    project: ReadableProject,
    database: Database,
    query: Annotated[FormQuery, Query()],
) -> Response:
    """Compare the configurations of the project's studies: energy against speedup.

    As CSV, Parquet or JSON lines it is the points alone.
    """
    form = chosen(request, query.format)
    with database.begin() as connection:
        if not runs.has_project(connection, project):
            raise unknown(project)
        of_studies = runs.comparable_by_study(connection, project)
        found = tradeoff(project, (scaling(project, *of_study) for of_study in of_studies))
    if form != "json":
        return as_file(form, TradeoffPoint, (), found.points, "tradeoff")
    return as_json(found.model_dump_json().encode())


def _part(
    lines: list[L], name: str, query: LinesQuery, form: str, listed: object
) -> tuple[list[L], str | None]:
    """Return the lines of a page or a file, and the cursor of the next if there is one.

    Args:
        lines: all of them, the newest first and then by name.
        name: the field that holds a line's name.
        query: where it begins and how long it is.
        form: of `MEDIA_TYPES`.
        listed: what tells the list from others, for cursors.
    """

    def place(line: L) -> tuple[int, str]:
        assert line.last_run_at is not None  # It is listed because it has a run.
        return -microseconds(line.last_run_at), getattr(line, name)

    if query.cursor is not None:
        after = cursors.decode(query.cursor, listed, ((int,), (str,)))
        lines = [line for line in lines if place(line) > tuple(after)]
    items = lines[: query.limit or (PAGE_LENGTH if form == "json" else None)]
    if len(items) == len(lines):
        return items, None
    return items, cursors.encode(place(items[-1]), listed)


def unknown(project: str) -> ProblemError:
    """Return the 404 of a project that is not there."""
    return ProblemError(
        404, f"there is no project {cut(project)!r} in this ledger; see /v1/projects for those"
    )
