"""What the server logs: one line a request, for a person or a machine, and no secrets."""

import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from api.app import create_app
from api.logs import JsonLines, TextLines
from tests.factories import make_report
from tests.fixtures.api import LiveApi, serving
from tests.fixtures.ledgers import Ledgers
from tests.patience import PATIENCE_S

KEY = "correct-horse-battery"
PASSWORD = "hunter22"


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Iterator[list[str]]:
    """The JSON lines that are logged during the test."""
    written: list[str] = []
    formatter = JsonLines([KEY, PASSWORD])

    class Written(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            written.append(formatter.format(record))

    handler, logger = Written(), logging.getLogger("api")
    logger.addHandler(handler)
    with caplog.at_level(logging.INFO, logger="api"):
        yield written
    logger.removeHandler(handler)


def of_requests(lines: list[str]) -> list[dict[str, Any]]:
    read = [json.loads(line) for line in lines]
    return [line for line in read if line["logger"] == "api.requests"]


def test_a_request_is_one_line_with_what_became_of_it(
    api_client: TestClient, lines: list[str]
) -> None:
    report = make_report()
    path = f"/v1/runs/{report.run_id}"
    answer = api_client.put(path, content=report.model_dump_json())
    (line,) = of_requests(lines)
    assert line.pop("time").endswith("+00:00")
    assert line.pop("duration_ms") > 0
    assert line.pop("message").startswith(f"PUT {path} 201 in ")
    assert line == {
        "level": "info",
        "logger": "api.requests",
        "request_id": answer.headers["x-request-id"],
        "method": "PUT",
        "path": path,
        "route": "/v1/runs/{run_id}",
        "status": 201,
        "client": "testclient",
    }


ROUTES = [
    ("GET", "/v1/runs?limit=1", 200, "/v1/runs"),
    ("HEAD", "/v1/runs", 200, "/v1/runs"),
    ("DELETE", "/v1/runs", 405, "/v1/runs"),
    ("GET", "/v1/projects/a%2Fb%0A/summary", 404, "/v1/projects/{project}/summary"),
    ("GET", "/healthz", 200, "/healthz"),
    ("GET", "/docs", 200, "/docs"),
    ("GET", "/openapi.json", 200, "/openapi.json"),
    ("GET", "/static-offline-docs/favicon.png", 200, "/static-offline-docs"),
    ("GET", "/nope", 404, "unmatched"),
    ("BREW", "/nope", 404, "unmatched"),
]


@pytest.mark.parametrize(("method", "path", "status", "route"), ROUTES)
def test_the_route_is_its_template(
    api_client: TestClient, lines: list[str], method: str, path: str, status: int, route: str
) -> None:
    api_client.request(method, path)
    (line,) = of_requests(lines)
    assert (line["method"], line["status"], line["route"]) == (method, status, route)


def test_a_failure_is_logged_under_the_same_id_as_it_is_answered(
    api_app: FastAPI, api_client: TestClient, lines: list[str]
) -> None:
    def fail() -> None:
        raise ZeroDivisionError(f"of {PASSWORD}")

    api_app.add_api_route("/fail", fail)
    answer = api_client.get("/fail", headers={"X-Request-ID": "from-the-proxy"})
    assert answer.json()["request_id"] == "from-the-proxy"
    failure, request = (json.loads(line) for line in lines)
    assert failure["request_id"] == request["request_id"] == "from-the-proxy"
    assert "ZeroDivisionError: of ***" in failure["exception"]
    assert (request["route"], request["status"]) == ("unmatched", 500)


def test_what_a_thread_of_the_request_logs_has_its_id(
    api_app: FastAPI, api_client: TestClient, lines: list[str]
) -> None:
    with api_app.state.engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE totals")
    answer = api_client.get("/v1/summary")
    assert answer.status_code == 503
    told = json.loads(lines[0])
    assert told["message"].startswith("the database does not answer")
    assert told["request_id"] == answer.json()["request_id"]


def test_no_key_is_ever_logged(ledgers: Ledgers, lines: list[str]) -> None:
    with TestClient(create_app(ledgers.settings(api_key=KEY))) as client:
        for key in (KEY, "another-key-123"):
            client.get("/v1/summary", headers={"Authorization": f"Bearer {key}"})
        client.get(f"/v1/summary?api_key={KEY}")
        client.get(f"/{KEY}")
    assert len(of_requests(lines)) == 4
    assert KEY not in "".join(lines)
    assert "another-key-123" not in "".join(lines)


def record(message: str, *, failed: bool = False) -> logging.LogRecord:
    try:
        raise ValueError(message)
    except ValueError:
        info = sys.exc_info() if failed else None
    return logging.LogRecord("api", logging.ERROR, __file__, 1, "%s", (message,), info)


@pytest.mark.parametrize("formatter", [TextLines([PASSWORD]), JsonLines([PASSWORD])])
def test_secrets_are_masked_in_messages_and_tracebacks(formatter: logging.Formatter) -> None:
    line = formatter.format(record(f"postgresql://u:{PASSWORD}@h/db", failed=True))
    assert PASSWORD not in line
    assert line.count("postgresql://u:***@h/db") == 2
    assert "ValueError" in line


def test_a_json_line_stays_one_line() -> None:
    line = JsonLines().format(record('a "b"\nc', failed=True))
    assert "\n" not in line
    assert json.loads(line)["message"] == 'a "b"\nc'


# -------------------------------------------------------------------------------- the real server


def ask(server: LiveApi) -> None:
    for path in ("/v1/summary", "/nope%0Aforged"):
        httpx.get(f"{server.url}{path}", headers={"X-Request-ID": "mine"}, timeout=PATIENCE_S)


def test_as_json_every_line_of_the_real_server_is_an_object(tmp_path: Path) -> None:
    with serving(tmp_path, CARBON_LOG_FORMAT="json") as server:
        ask(server)
        _, log = server.end()
    written = [json.loads(line) for line in log.splitlines()]
    mine = [line for line in written if line.get("request_id") == "mine"]
    assert [(line["path"], line["status"]) for line in mine] == [
        ("/v1/summary", 200),
        ("/nope\nforged", 404),
    ]


def test_as_text_requests_are_logged_where_that_is_asked_for(tmp_path: Path) -> None:
    with serving(tmp_path, CARBON_LOG_LEVEL="info") as server:
        ask(server)
        _, log = server.end()
    mine = [line for line in log.splitlines() if line.endswith("[request mine]")]
    assert len(mine) == 2
    assert "INFO api.requests: GET /v1/summary 200 in " in mine[0]
    assert "GET /nope%0Aforged 404 in " in mine[1]
