"""`/v1/projects/{project}/budgets`: what a project may spend, and how that stands."""

from datetime import UTC, date, datetime
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, BeforeValidator, Field
from sqlalchemy import Connection

from api import budgets
from api.auth import Actor
from api.bodies import TermsBody, described, parsed
from api.budgets import Row
from api.db import Database, writing
from api.etags import as_json
from api.formats import FORMS, Format, as_file, chosen
from api.no_query import NO_QUERY
from api.outbound import UrlError, check_url
from api.prices import DefaultPrice, tariff
from api.problems import ProblemError, cut
from api.routes.days import as_day
from api.routes.projects import AdministeredProject, ReadableProject
from carbon.schema import Budget, BudgetList, BudgetName, BudgetTerms, Price

router = APIRouter(prefix="/projects", tags=["budgets"])

RESERVED = frozenset({"budgets", "prices", "scaling", "studies", "summary", "tradeoff", "what-if"})
"""What stands last in the paths of other things of a project: a project's name may hold a slash, so
nothing else tells its budget from a project with a longer name."""

Name = Annotated[BudgetName, Path(description="Letters, digits, dots, dashes and underscores.")]


class BudgetQuery(BaseModel, extra="forbid"):
    """Which of a budget's periods is asked for."""

    on: Annotated[
        date | None,
        BeforeValidator(as_day),
        Field(description="A day of the period, in UTC; today where it is left out."),
    ] = None


class BudgetsQuery(BudgetQuery):
    """Which of their periods is asked for, and in which form."""

    format: Format = None


@router.get("/{project:project}/budgets", response_model=BudgetList, responses=FORMS)
def list_budgets(
    request: Request,
    project: ReadableProject,
    database: Database,
    price: DefaultPrice,
    query: Annotated[BudgetsQuery, Query()],
) -> Response:
    """List a project's budgets by name, each with how it stands."""
    form = chosen(request, query.format)
    with database.begin() as connection:
        rows = budgets.of_project(connection, project)
        items = [_standing(connection, row, price, query.on) for row in rows]
    if form != "json":
        return as_file(form, Budget, (), items, "budgets")
    return as_json(BudgetList(items=items).model_dump_json().encode())


@router.put(
    "/{project:project}/budgets/{name}",
    dependencies=[NO_QUERY],
    openapi_extra=described(BudgetTerms),
    responses={201: {"model": Budget, "description": "The budget is new."}},
)
def put_budget(
    request: Request,
    response: Response,
    project: AdministeredProject,
    name: Name,
    body: TermsBody,
    database: Database,
    price: DefaultPrice,
    actor: Actor,
) -> Budget:
    """Set a budget, whole; the project need not have runs yet.

    Calendar periods come again and again. Once more than the limit is spent in one, the webhook is
    posted a `budget.crossed` document, once for each period, and tried again for about a day until
    it answers with a 2xx status. With another limit, quantity or period it can be crossed anew.
    """
    terms = parsed(body, BudgetTerms, "budget")
    if name in RESERVED:
        raise ProblemError(422, f"a budget cannot be called {name!r}, which is a path of its own")
    if terms.webhook_url is not None:
        try:
            check_url(terms.webhook_url, allow_local=request.app.state.webhooks_allow_local)
        except UrlError as error:
            message = str(error)
            raise ProblemError(
                422,
                f"webhook_url: {message}",
                errors=[{"field": "webhook_url", "message": message}],
            ) from error
    with writing(database) as connection:
        created = budgets.put(connection, project, name, terms, datetime.now(UTC), actor)
        row = budgets.find(connection, project, name)
        assert row is not None
        found = _standing(connection, row, price, terms.from_day)
    if created:
        response.status_code = 201
    return found


@router.get("/{project:project}/budgets/{name}")
def get_budget(
    project: ReadableProject,
    name: Name,
    database: Database,
    price: DefaultPrice,
    query: Annotated[BudgetQuery, Query()],
) -> Budget:
    """Tell what is spent of a budget in one of its periods, and what is to be expected."""
    with database.begin() as connection:
        row = budgets.find(connection, project, name)
        if row is None:
            raise _unknown(project, name)
        return _standing(connection, row, price, query.on)


@router.delete("/{project:project}/budgets/{name}", status_code=204, dependencies=[NO_QUERY])
def delete_budget(
    project: AdministeredProject, name: Name, database: Database, actor: Actor
) -> None:
    """Remove a budget; a message that its webhook was not told yet is not sent any more."""
    with writing(database) as connection:
        if not budgets.remove(connection, project, name, actor):
            raise _unknown(project, name)


def _standing(connection: Connection, row: Row, price: Price | None, on: date | None) -> Budget:
    now = datetime.now(UTC)
    days = budgets.period_of(row, on or now.date())
    prices = tariff(connection, row["project"], price)
    return budgets.standing(connection, row, prices, days, now)


def _unknown(project: str, name: str) -> ProblemError:
    return ProblemError(404, f"the project {cut(project)!r} has no budget {name!r}")
