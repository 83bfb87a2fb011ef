"""`/v1/projects`: the projects, and what one of them adds up to."""

from typing import Annotated

from fastapi import APIRouter, Path
from starlette.convertors import Convertor, register_url_convertor

from api import runs, summaries
from api.db import Database
from api.problems import ProblemError, cut
from carbon.analysis.tradeoff import tradeoff
from carbon.schema import Name, ProjectTotals, Summary, Tradeoff

router = APIRouter(prefix="/projects", tags=["projects"])


class _ProjectConvertor(Convertor[str]):
    """A project's name in a path: anything, slashes and line breaks too.

    The server decodes %2F before it routes, so the name ends at the last suffix, not at a slash:
    a project named "a/summary" has its summary at /v1/projects/a%2Fsummary/summary.
    """

    regex = "(?s:.+)"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("project", _ProjectConvertor())

ProjectName = Annotated[Name, Path(description="Percent-encoded; a slash is %2F.")]


@router.get("")
def list_projects(database: Database) -> list[ProjectTotals]:
    """List the projects with their totals, the one with the newest run first."""
    with database.begin() as connection:
        return summaries.projects(connection)


@router.get("/{project:project}/summary")
def project_summary(project: ProjectName, database: Database) -> Summary:
    """Sum up all runs of a project."""
    with database.begin() as connection:
        found = summaries.summary(connection, project)
    if not found.runs:
        raise _unknown(project)
    return found


@router.get("/{project:project}/tradeoff")
def project_tradeoff(project: ProjectName, database: Database) -> Tradeoff:
    """Compare the configurations of the project's studies: energy against speedup."""
    with database.begin() as connection:
        if not runs.has_project(connection, project):
            raise _unknown(project)
        compared = runs.comparable(connection, project)
    return tradeoff(project, compared)


def _unknown(project: str) -> ProblemError:
    return ProblemError(
        404, f"there is no project {cut(project)!r} in this ledger; see /v1/projects for those"
    )
