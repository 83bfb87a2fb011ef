"""What every answer has: an id, headers that keep browsers out, a body only where one is due."""

import re

import httpx
import pytest
from fastapi import FastAPI
from playwright.sync_api import Page, expect
from starlette.testclient import TestClient

from tests.factories import make_report
from tests.fixtures.api import LiveApi
from tests.fixtures.browser import Watch
from tests.patience import PATIENCE_S

EVERY_KIND = [
    "/v1/summary",
    "/healthz",
    "/metrics",
    "/docs",
    "/openapi.json",
    "/nope",
    "/v1/runs/7",
]


# ----------------------------------------------------------------------------------------- headers


@pytest.mark.parametrize("path", [*EVERY_KIND, "/static-offline-docs/favicon.png", "/fail"])
def test_every_answer_keeps_browsers_from_using_it(
    api_app: FastAPI, api_client: TestClient, path: str
) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    api_app.add_api_route("/fail", fail)
    headers = api_client.get(path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "'unsafe-inline'" not in policy.replace("style-src 'self' 'unsafe-inline'", "")
    assert "server" not in headers
    assert "strict-transport-security" not in headers


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/v1/summary", "private, no-cache"),
        ("/v1/runs/7", "no-store"),
        ("/nope", "no-store"),
        ("/metrics", "no-store"),
    ],
)
def test_no_cache_in_between_keeps_an_answer(
    api_client: TestClient, path: str, expected: str
) -> None:
    assert api_client.get(path).headers["cache-control"] == expected


@pytest.mark.parametrize("method", ["PUT", "GET", "DELETE"])
def test_pages_of_other_origins_get_no_permission(api_client: TestClient, method: str) -> None:
    report = make_report()
    asked = {
        "Origin": "https://evil.example",
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": "authorization",
    }
    answers = [
        api_client.options(f"/v1/runs/{report.run_id}", headers=asked),
        api_client.get("/v1/summary", headers=asked),
    ]
    assert answers[0].status_code == 405
    for answer in answers:
        assert not [name for name in answer.headers if name.startswith("access-control-")]


def test_the_docs_page_works_under_its_policy(live_api: LiveApi, page: Page, watch: Watch) -> None:
    page.goto(f"{live_api.url}/docs")
    expect(page.locator("#operations-runs-put_run_v1_runs__run_id__put")).to_be_visible()
    assert watch.complaints == []
    assert watch.requests_elsewhere == []


def test_the_policy_lets_no_other_script_run_in_the_docs(live_api: LiveApi, page: Page) -> None:
    page.goto(f"{live_api.url}/docs")
    page.evaluate(
        "() => { const s = document.createElement('script'); s.textContent = 'window.evil = 1';"
        " document.body.append(s); }"
    )
    assert page.evaluate("() => window.evil === undefined")


# -------------------------------------------------------------------------------------- request ids


def test_an_answer_names_the_request(api_client: TestClient) -> None:
    answers = [api_client.get("/v1/summary") for _ in range(2)]
    ids = {answer.headers["x-request-id"] for answer in answers}
    assert len(ids) == 2
    assert all(re.fullmatch("[0-9a-f]{32}", each) for each in ids)


@pytest.mark.parametrize(
    "given", ["a", "req-1.2_3:4", "0af7651916cd43dd8448eb211c80319c", "x" * 128]
)
def test_an_id_that_came_with_the_request_is_kept(api_client: TestClient, given: str) -> None:
    answer = api_client.get("/v1/runs/7", headers={"X-Request-ID": given})
    assert answer.headers["x-request-id"] == given
    assert answer.json()["request_id"] == given


@pytest.mark.parametrize("given", ["", "x" * 129, "a b", "<script>", '"}', "gr\xfcn", "a,b"])
def test_what_is_no_id_is_replaced(api_client: TestClient, given: str) -> None:
    answer = api_client.get("/v1/runs/7", headers=[(b"X-Request-ID", given.encode("latin-1"))])
    assert re.fullmatch("[0-9a-f]{32}", answer.headers["x-request-id"])
    assert answer.json()["request_id"] == answer.headers["x-request-id"]


# --------------------------------------------------------------------------------------------- HEAD


@pytest.mark.parametrize("path", [*EVERY_KIND, "/v1/runs", "/v1/grid", "/readyz"])
def test_head_is_get_without_the_body(api_client: TestClient, path: str) -> None:
    got, headed = api_client.get(path), api_client.head(path)
    assert headed.status_code == got.status_code
    assert headed.content == b""
    # The metrics count requests, so that the page grows; ids differ.
    for name in set(got.headers) - {"x-request-id", "content-length"}:
        assert headed.headers[name] == got.headers[name], name


def test_head_stores_nothing(api_client: TestClient) -> None:
    report = make_report()
    path = f"/v1/runs/{report.run_id}"
    assert api_client.request("HEAD", path, content=report.model_dump_json()).status_code == 404
    assert api_client.get("/v1/summary").json()["runs"] == 0


def test_head_over_the_wire_keeps_the_connection_in_step(live_api: LiveApi) -> None:
    with httpx.Client(base_url=live_api.url, timeout=PATIENCE_S) as client:
        for _ in range(3):
            headed = client.head("/v1/grid")
            assert int(headed.headers["content-length"]) > 1000
            assert client.get("/v1/summary").json()["runs"] == 0
