"""Every error has one shape, whoever raises it."""

import logging

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from carbon.schema import Problem

WRONG: list[tuple[str, str, int, str]] = [
    ("GET", "/nope", 404, "there is nothing at /nope; the routes are listed at /docs"),
    ("GET", "/v1", 404, "there is nothing at /v1;"),
    ("GET", "/v1/runs/", 404, "there is nothing at /v1/runs/;"),
    ("GET", "/" + "x" * 5000, 404, "xxx...; the routes"),
    ("POST", "/v1/runs", 405, "POST is not possible on /v1/runs, but GET and HEAD are"),
    ("DELETE", "/v1/summary", 405, "DELETE is not possible on /v1/summary, but GET and HEAD are"),
    ("GET", "/v1/runs/7", 422, "run_id: Input should be a valid UUID"),
    ("GET", "/v1/runs?limit=0", 422, "limit: Input should be greater than or equal to 1, got '0'"),
    ("GET", "/v1/runs?limit=1001", 422, "limit: Input should be less than or equal to 1000"),
    ("GET", "/v1/runs?limit=ten", 422, "limit: Input should be a valid integer"),
    ("GET", "/v1/runs?status=done", 422, "status: Input should be 'running', 'completed'"),
    ("GET", "/v1/runs?strategy=x", 422, "strategy: Input should be 'single', 'ddp'"),
    ("GET", "/v1/runs?project=a%00b", 422, "project: must not contain the NUL character"),
    ("GET", "/v1/runs?study=" + "x" * 201, 422, "study: String should have at most 200"),
    ("GET", "/v1/runs?cursor=", 422, "cursor: not a cursor of this API; pass on next_cursor"),
    ("GET", "/v1/runs?cursor=%F0%9F%8C%B1", 422, "cursor: not a cursor of this API"),
    ("GET", "/v1/runs?cursor=MS4y", 422, "cursor: not a cursor of this API"),
    ("GET", "/v1/runs?cursor=OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5LjAw", 422, "cursor: not a cursor"),
    ("GET", "/v1/projects/none%2Fsuch/summary", 404, "there is no project 'none/such' in this l"),
    ("GET", "/v1/projects/none/tradeoff", 404, "there is no project 'none' in this ledger"),
    ("GET", "/v1/projects/a%00b/summary", 422, "project: must not contain the NUL character"),
    ("GET", "/v1/projects/" + "x" * 201 + "/summary", 422, "project: String should have at most"),
    ("GET", "/v1/projects/none", 404, "there is nothing at /v1/projects/none"),
    ("GET", "/static-offline-docs/nope.js", 404, "there is nothing at /static-offline-docs/nope"),
]


@pytest.mark.parametrize(
    ("method", "path", "status", "detail"),
    WRONG,
    ids=[f"{case[0]} {case[1][:40]}" for case in WRONG],
)
def test_a_wrong_request_is_told_what_is_wrong(
    api_client: TestClient, method: str, path: str, status: int, detail: str
) -> None:
    answer = api_client.request(method, path)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    problem = Problem.model_validate_json(answer.content)
    assert problem.status == status
    assert detail in problem.detail
    assert len(answer.content) < 2000
    assert bool(problem.errors) == (status == 422)


def test_a_method_that_is_not_allowed_comes_with_those_that_are(api_client: TestClient) -> None:
    assert api_client.post("/v1/runs").headers["allow"] == "GET, HEAD"
    all_routes = api_client.post("/v1/runs/7")
    assert all_routes.headers["allow"] == "DELETE, GET, HEAD, PATCH, PUT"
    assert all_routes.json()["detail"].endswith("but DELETE and GET and HEAD and PATCH and PUT are")


def test_every_wrong_parameter_is_listed(api_client: TestClient) -> None:
    problem = api_client.get("/v1/runs?limit=0&status=x").json()
    assert {error["field"] for error in problem["errors"]} == {"limit", "status"}
    assert problem["detail"].endswith("(and 1 more)")


def test_what_nobody_foresaw_is_logged_and_answered_without_details(
    api_app: FastAPI, api_client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise ZeroDivisionError("the secret of the machine")

    api_app.add_api_route("/fail", fail)
    with caplog.at_level(logging.ERROR, logger="api"):
        answer = api_client.get("/fail")
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert Problem.model_validate_json(answer.content).title == "Internal Server Error"
    assert "secret" not in answer.text
    assert "GET /fail failed" in caplog.text
    assert "the secret of the machine" in caplog.text
