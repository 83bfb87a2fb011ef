"""The app: everything put together, from the settings."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi_offline import FastAPIOffline
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from api import problems
from api.auth import require_key
from api.db import open_database, outage
from api.edge import Edge
from api.heartbeats import watching
from api.routes import grid, health, projects, runs, summaries
from carbon.schema import Problem
from carbon.settings import Settings

_ERRORS: dict[int | str, dict[str, Any]] = {
    "default": {
        "description": "An error, as RFC 9457 problem details.",
        "content": {problems.MEDIA_TYPE: {"schema": Problem.model_json_schema()}},
    }
}


def create_app(settings: Settings) -> FastAPI:
    """Open the ledger that the settings name and return the API in front of it.

    The database is closed when the app shuts down.

    Raises:
        SettingsError: a database that cannot be used as the ledger.
    """
    engine = open_database(settings.database_url)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        with watching(engine, settings.interrupted_after_s):
            yield
        engine.dispose()

    # The docs come with their scripts: the ledger often stands where no CDN is in reach.
    app = FastAPIOffline(
        redoc_url=None,
        title="Carbon Ledger",
        description="Energy and carbon of training runs.",
        lifespan=lifespan,
        redirect_slashes=False,
        separate_input_output_schemas=False,
        responses=_ERRORS,
        swagger_ui_parameters={"validatorUrl": None},
    )
    app.state.engine = engine
    app.add_middleware(Edge)
    problems.install(app)
    app.add_exception_handler(DBAPIError, _outage)
    app.add_exception_handler(PoolTimeoutError, _outage)

    key = settings.api_key_text
    v1 = APIRouter(prefix="/v1", dependencies=[Depends(require_key(key))] if key else [])
    for part in (runs, projects, summaries, grid):
        v1.include_router(part.router)
    app.include_router(v1)
    app.include_router(health.router)
    return app


async def _outage(request: Request, error: Exception) -> Response:
    assert isinstance(error, DBAPIError | PoolTimeoutError)
    return outage(error).response()
