"""The app: everything put together, from the settings."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi_offline import FastAPIOffline
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.middleware.gzip import GZipMiddleware

from api import crossings, docs, heartbeats, problems
from api.auth import GUARD, Doors, Gate
from api.db import open_database, outage
from api.edge import Edge
from api.etags import Etags
from api.formats import MEDIA_TYPES
from api.heads import Heads
from api.held_keys import HeldKeys
from api.hosts import OwnHosts
from api.ingest import Ingest
from api.limits import Limits
from api.metrics import Metrics
from api.prices import default_price
from api.route_table import RouteTable
from api.routes import (
    audit,
    budgets,
    corrections,
    deliveries,
    factors,
    grid,
    hardware,
    health,
    metrics,
    prices,
    projects,
    runs,
    summaries,
    what_if,
)
from carbon.schema import Problem
from carbon.settings import Settings

_ERRORS: dict[int | str, dict[str, Any]] = {
    "default": {
        "description": "An error, as RFC 9457 problem details.",
        "content": {problems.MEDIA_TYPE: {"schema": Problem.model_json_schema()}},
    }
}


def create_app(settings: Settings, doors: Doors | None = None) -> FastAPI:
    """Open the ledger that the settings name and return the API in front of it.

    The database is closed when the app shuts down.

    Args:
        settings: where the ledger is, and the key if there is one.
        doors: where it is served, and so who needs a key; by default nobody, if there is none.

    Raises:
        SettingsError: a database that cannot be used as the ledger.
    """
    engine = open_database(settings.database_url)
    service = Metrics(engine)

    ingest = Ingest(engine)
    doors = doors or Doors()
    limits = Limits(settings.rate_limit)
    held = HeldKeys(engine)
    gate = Gate(settings.api_key_text, held, limits, doors)
    price = default_price(settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        with (
            heartbeats.watching(engine, settings.interrupted_after_s),
            crossings.watching(engine, price, allow_local=settings.webhooks_allow_local),
        ):
            yield
        ingest.close()
        await held.close()
        engine.dispose()
        service.leave()

    # The docs come with their scripts: the ledger often stands where no CDN is in reach.
    app = FastAPIOffline(
        redoc_url=None,
        title="Carbon Ledger",
        description="Energy and carbon of training runs.",
        lifespan=lifespan,
        redirect_slashes=False,
        separate_input_output_schemas=False,
        responses=_ERRORS,
        docs_url=None,
        static_url=docs.STATIC_PATH,
    )
    app.state.engine = engine
    app.state.metrics = service
    app.state.is_stopping = False
    app.state.ingest = ingest
    app.state.gate = gate
    app.state.default_price = price
    app.state.webhooks_allow_local = settings.webhooks_allow_local
    docs.install(app)
    app.add_exception_handler(DBAPIError, _outage)
    app.add_exception_handler(PoolTimeoutError, _outage)

    parts = (
        *(deliveries, runs, corrections, projects, summaries, grid, factors, audit),
        *(budgets, prices, hardware, what_if),
    )
    routers = [("/v1", part.router) for part in parts]
    table = RouteTable(
        [*routers, ("", health.router), ("", metrics.router)], others=list(app.routes)
    )
    for prefix, router in routers:
        app.include_router(router, prefix=prefix, dependencies=[GUARD])
    app.include_router(metrics.router, dependencies=[GUARD])
    app.include_router(health.router)
    problems.install(app, table)

    # The last one is the outermost.
    app.add_middleware(Etags)
    app.add_middleware(
        GZipMiddleware,
        minimum_size=1000,
        compresslevel=5,
        exclude_content_types=(MEDIA_TYPES["parquet"],),  # Is compressed already.
    )
    app.add_middleware(Heads)
    if doors.bound_host is not None:
        app.add_middleware(OwnHosts, bound_host=doors.bound_host, needs_keys=gate.needs_keys)
    app.add_middleware(Edge, routes=table, metrics=service)
    return app


async def _outage(request: Request, error: Exception) -> Response:
    assert isinstance(error, DBAPIError | PoolTimeoutError)
    return outage(error).response()
