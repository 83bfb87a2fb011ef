"""Whether the process lives, and whether it can be sent requests."""

import pytest
from fastapi import FastAPI
from sqlalchemy import text
from starlette.testclient import TestClient

from carbon.schema import SCHEMA_VERSION

HEALTHY = {"status": "ok", "schema_version": SCHEMA_VERSION}


def test_a_new_ledger_is_alive_and_ready(api_client: TestClient) -> None:
    for path in ("/healthz", "/readyz"):
        answer = api_client.get(path)
        assert (answer.status_code, answer.json()) == (200, HEALTHY)
        assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("statement", "missing"),
    [
        ("ALTER TABLE runs DROP COLUMN idle_energy_kwh", "no such column: runs.idle_energy_kwh"),
        ("DROP TABLE series", "no such table: series"),
        ("DROP TABLE shares", "no such table: shares"),
    ],
)
def test_a_ledger_of_another_shape_is_alive_but_not_ready(
    api_app: FastAPI, api_client: TestClient, statement: str, missing: str
) -> None:
    with api_app.state.engine.begin() as connection:
        connection.execute(text(statement))
    answer = api_client.get("/readyz")
    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/problem+json"
    # PostgreSQL's words name hosts and users.
    is_told = api_app.state.engine.dialect.name == "sqlite"
    reason = missing if is_told else "the server's log says why"
    assert answer.json()["detail"] == f"the database does not answer: {reason}"
    assert api_client.get("/healthz").json() == HEALTHY


def test_a_ledger_that_was_upgraded_meanwhile_is_not_ready(
    api_app: FastAPI, api_client: TestClient
) -> None:
    with api_app.state.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    answer = api_client.get("/readyz")
    assert answer.status_code == 503
    assert "schema is 9999" in answer.json()["detail"]
    assert api_client.get("/healthz").json() == HEALTHY


def test_one_that_is_stopping_is_alive_but_not_ready(
    api_app: FastAPI, api_client: TestClient
) -> None:
    api_app.state.is_stopping = True
    assert api_client.get("/readyz").status_code == 503
    assert "shutting down" in api_client.get("/readyz").json()["detail"]
    assert api_client.get("/healthz").json() == HEALTHY
