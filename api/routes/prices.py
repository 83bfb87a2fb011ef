"""`/v1/prices` and `/v1/projects/{project}/prices`: what electricity costs from a day on."""

from datetime import date
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from api import prices
from api.auth import Actor, AdministeringAll, Reading
from api.bodies import TermsBody, described, parsed
from api.db import Database, writing
from api.etags import as_json
from api.formats import FORMS, as_file, chosen
from api.no_query import NO_QUERY
from api.prices import FOR_ALL, DefaultPrice
from api.problems import ProblemError
from api.routes.days import ValidFrom
from api.routes.pages import FormQuery
from api.routes.projects import AdministeredProject, ReadableProject
from carbon.schema import Price, PriceList, PriceTerms

router = APIRouter(tags=["prices"])

_NEW: dict[int | str, dict[str, Any]] = {
    201: {"model": Price, "description": "There was none from this day on."}
}


@router.get("/prices", response_model=PriceList, responses=FORMS)
def list_prices(
    request: Request,
    _: Reading,
    database: Database,
    price: DefaultPrice,
    query: Annotated[FormQuery, Query()],
) -> Response:
    """List the prices for projects without one of their own, the latest first."""
    with database.begin() as connection:
        items = prices.prices(connection, FOR_ALL)
    return _listed(request, query, items, price)


@router.put(
    "/prices/{valid_from}",
    dependencies=[NO_QUERY],
    openapi_extra=described(PriceTerms),
    responses=_NEW,
)
def put_price(
    response: Response,
    _: AdministeringAll,
    valid_from: ValidFrom,
    body: TermsBody,
    database: Database,
    actor: Actor,
) -> Price:
    """Set the price from a day on, until a later one takes its place, where projects have none."""
    return _put(response, database, FOR_ALL, valid_from, body, actor)


@router.get("/prices/{valid_from}", dependencies=[NO_QUERY])
def get_price(_: Reading, valid_from: ValidFrom, database: Database) -> Price:
    """Read the price that was set from a day on."""
    return _get(database, FOR_ALL, valid_from)


@router.delete("/prices/{valid_from}", status_code=204, dependencies=[NO_QUERY])
def delete_price(
    _: AdministeringAll, valid_from: ValidFrom, database: Database, actor: Actor
) -> None:
    """Remove the price that was set from a day on."""
    _delete(database, FOR_ALL, valid_from, actor)


@router.get("/projects/{project:project}/prices", response_model=PriceList, responses=FORMS)
def list_project_prices(
    request: Request,
    project: ReadableProject,
    database: Database,
    price: DefaultPrice,
    query: Annotated[FormQuery, Query()],
) -> Response:
    """List a project's own prices, the latest first, and then those for all projects."""
    with database.begin() as connection:
        items = prices.prices(connection, project, FOR_ALL)
    return _listed(request, query, items, price)


@router.put(
    "/projects/{project:project}/prices/{valid_from}",
    dependencies=[NO_QUERY],
    openapi_extra=described(PriceTerms),
    responses=_NEW,
)
def put_project_price(
    response: Response,
    project: AdministeredProject,
    valid_from: ValidFrom,
    body: TermsBody,
    database: Database,
    actor: Actor,
) -> Price:
    """Set a project's own price from a day on, until a later one of its own takes its place."""
    return _put(response, database, project, valid_from, body, actor)


@router.get("/projects/{project:project}/prices/{valid_from}", dependencies=[NO_QUERY])
def get_project_price(project: ReadableProject, valid_from: ValidFrom, database: Database) -> Price:
    """Read a project's own price that was set from a day on."""
    return _get(database, project, valid_from)


@router.delete(
    "/projects/{project:project}/prices/{valid_from}", status_code=204, dependencies=[NO_QUERY]
)
def delete_project_price(
    project: AdministeredProject, valid_from: ValidFrom, database: Database, actor: Actor
) -> None:
    """Remove a project's own price that was set from a day on."""
    _delete(database, project, valid_from, actor)


def _listed(
    request: Request, query: FormQuery, items: list[Price], default: Price | None
) -> Response:
    form = chosen(request, query.format)
    items = [*items, default] if default else items
    if form != "json":
        return as_file(form, Price, ("project", "valid_from"), items, "prices")
    return as_json(PriceList(items=items).model_dump_json().encode())


def _put(
    response: Response,
    database: Database,
    project: str,
    valid_from: date,
    body: bytes,
    actor: str,
) -> Price:
    terms = parsed(body, PriceTerms, "price")
    with writing(database) as connection:
        if prices.put_price(connection, project, valid_from, terms, actor):
            response.status_code = 201
    return Price(project=project or None, valid_from=valid_from, **terms.model_dump())


def _get(database: Database, project: str, valid_from: date) -> Price:
    with database.begin() as connection:
        found = prices.find_price(connection, project, valid_from)
    if found is None:
        raise _unknown(valid_from)
    return found


def _delete(database: Database, project: str, valid_from: date, actor: str) -> None:
    with writing(database) as connection:
        if not prices.remove_price(connection, project, valid_from, actor):
            raise _unknown(valid_from)


def _unknown(valid_from: date) -> ProblemError:
    return ProblemError(404, f"no price was set from {valid_from} on; list them without the day")
