"""What runs would have come to elsewhere or at another hour, and what their hardware embodies."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import BaseModel, BeforeValidator, Field, ValidationError

from api import hardware, problems, runs
from api.access import Access
from api.auth import Reading
from api.bodies import TermsBody, described, parsed
from api.db import Database
from api.no_query import NO_QUERY
from api.prices import DefaultPrice, tariff
from api.problems import ProblemError, unknown_run
from api.project_what_if import of_project
from api.routes.projects import ReadableProject, unknown
from api.run_what_if import of_run
from carbon.schema import CountryCode, Footprint, Name, Price, Pue, RunReport, WhatIf, WhatIfTerms

router = APIRouter(tags=["accounting"])


class WhatIfQuery(BaseModel, extra="forbid"):
    """What would be different."""

    country: Annotated[
        CountryCode | None,
        BeforeValidator(lambda code: code.upper() if isinstance(code, str) else code),
        Field(description="ISO 3166-1 alpha-3 code."),
    ] = None
    region: Annotated[
        Name | None, Field(description="Region of the country or of a cloud there.")
    ] = None
    pue: Annotated[Pue | None, Field(description="Power usage effectiveness, ISO/IEC 30134-2.")] = (
        None
    )

    def terms(self) -> WhatIfTerms:
        """Return it as it is sent in a body; raises a 422 `ProblemError` where it is nothing."""
        try:
            return WhatIfTerms(country=self.country, region=self.region, pue=self.pue)
        except ValidationError as error:
            raise problems.refused(error.errors(include_url=False), "request") from error


class RunWhatIfQuery(WhatIfQuery):
    """The same of one run."""

    shift_h: Annotated[
        float | None,
        Field(description="Is possible in a POST only, beside the intensity of each hour."),
    ] = None

    def terms(self) -> WhatIfTerms:
        """As of the base class."""
        if self.shift_h is not None:
            message = (
                "needs the intensity of each hour, which the ledger does not hold: POST it with "
                "`hourly_g_per_kwh` or `intensities` to the same path"
            )
            errors = [{"field": "shift_h", "message": message}]
            raise ProblemError(422, f"shift_h: {message}", errors=errors)
        return super().terms()


@router.get("/runs/{run_id:run}/what-if")
def run_what_if(
    access: Reading,
    run_id: UUID,
    database: Database,
    price: DefaultPrice,
    query: Annotated[RunWhatIfQuery, Query()],
) -> WhatIf:
    """Compare a run with the same energy in another place or at another PUE."""
    return _of_run(database, access, run_id, query.terms(), price)


@router.post(
    "/runs/{run_id:run}/what-if", dependencies=[NO_QUERY], openapi_extra=described(WhatIfTerms)
)
def run_what_if_by_hour(
    access: Reading, run_id: UUID, body: TermsBody, database: Database, price: DefaultPrice
) -> WhatIf:
    """Compare a run with the same energy elsewhere, or at another hour; stores nothing.

    For another hour send the intensity of every hour of a day, `hourly_g_per_kwh`, or of moments
    around the run, `intensities`, with `shift_h`. Both sides are then by these intensities, and by
    the energy that the run drew in each hour as far as its power over time is stored.
    """
    return _of_run(database, access, run_id, parsed(body, WhatIfTerms, "what-if"), price)


@router.get("/projects/{project:project}/what-if")
def project_what_if(
    project: ReadableProject,
    database: Database,
    price: DefaultPrice,
    query: Annotated[WhatIfQuery, Query()],
) -> WhatIf:
    """Compare all runs of a project with the same energy in another place or at another PUE."""
    terms = query.terms()
    with database.begin() as connection:
        prices = tariff(connection, project, price)
        found = of_project(connection, project, terms, prices)
    if found is None:
        raise unknown(project)
    return found


@router.get("/runs/{run_id:run}/footprint", dependencies=[NO_QUERY])
def run_footprint(access: Reading, run_id: UUID, database: Database) -> Footprint:
    """Tell a run's emissions of operation and its share of those of its hardware's making."""
    with database.begin() as connection:
        found = runs.find(connection, access, run_id, with_series=False)
        return hardware.footprint(connection, _found(found, run_id))


def _of_run(
    database: Database, access: Access, run_id: UUID, terms: WhatIfTerms, price: Price | None
) -> WhatIf:
    by_hour = terms.hourly_g_per_kwh is not None or terms.intensities is not None
    with database.begin() as connection:
        report = _found(runs.find(connection, access, run_id, with_series=by_hour), run_id)
        prices = tariff(connection, report.project, price)
    return of_run(report, terms, prices)


def _found(report: RunReport | None, run_id: UUID) -> RunReport:
    if report is None:
        raise unknown_run(run_id)
    return report
