"""With a key set, nothing under /v1 answers without it."""

from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from api.app import create_app
from tests.factories import make_report
from tests.fixtures.ledgers import Ledgers

KEY = "correct horse"


@pytest.fixture
def client(ledgers: Ledgers) -> Iterator[TestClient]:
    with TestClient(create_app(ledgers.settings(api_key=KEY))) as opened:
        yield opened


def with_key(key: str, scheme: str = "Bearer") -> dict[str, str]:
    return {"Authorization": f"{scheme} {key}"}


def operations(client: TestClient) -> list[tuple[str, str]]:
    paths = client.get("/openapi.json").json()["paths"]
    return [(method.upper(), path) for path, methods in paths.items() for method in methods]


def test_every_route_under_v1_needs_the_key(client: TestClient) -> None:
    guarded = [each for each in operations(client) if each[1].startswith("/v1/")]
    assert len(guarded) >= 8
    for method, path in guarded:
        answer = client.request(method, path, content=b"not even JSON")
        assert answer.status_code == 401, (method, path)
        assert answer.headers["www-authenticate"] == "Bearer"
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["detail"] == ("this API needs a key: send `Authorization: Bearer KEY`")


@pytest.mark.parametrize(
    "headers",
    [
        with_key("wrong"),
        with_key(KEY + "x"),
        with_key(KEY[:-1]),
        with_key(KEY.upper()),
        with_key("gr\xfcn"),
        with_key(KEY, "Basic"),
        with_key(""),
        {"Authorization": KEY},
        {"X-API-Key": KEY},
    ],
    ids=lambda headers: str(headers)[:50],
)
def test_anything_but_the_key_is_refused(client: TestClient, headers: dict[str, str]) -> None:
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    answer = client.get("/v1/summary", headers=raw)
    assert answer.status_code == 401
    assert KEY not in answer.text


def test_a_wrong_key_is_not_called_missing(client: TestClient) -> None:
    answer = client.get("/v1/summary", headers=with_key("wrong"))
    assert answer.json()["detail"] == (
        "this is not a key of this API; see `carbon keys list` and CARBON_API_KEY on the server"
    )


@pytest.mark.parametrize("scheme", ["Bearer", "bearer"])
def test_the_key_opens_everything(client: TestClient, scheme: str) -> None:
    headers = with_key(KEY, scheme)
    report = make_report()
    path = f"/v1/runs/{report.run_id}"
    assert client.put(path, content=report.model_dump_json()).status_code == 401
    assert client.get(path, headers=headers).status_code == 404
    assert client.put(path, content=report.model_dump_json(), headers=headers).status_code == 201
    assert client.get("/v1/summary", headers=headers).json()["runs"] == 1


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/docs", "/openapi.json"])
def test_health_and_docs_need_no_key(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 200


def test_without_a_key_set_nobody_is_asked(api_client: TestClient) -> None:
    assert api_client.get("/v1/summary").status_code == 200
    assert api_client.get("/v1/summary", headers=with_key("any")).status_code == 200


def test_the_metrics_name_projects_and_need_the_key(client: TestClient) -> None:
    assert client.get("/metrics").status_code == 401
    assert client.head("/metrics").status_code == 401
    assert client.get("/metrics", headers=with_key(KEY)).status_code == 200


def test_nothing_but_health_stands_outside_v1_without_the_key(client: TestClient) -> None:
    open_paths = [
        path
        for method, path in operations(client)
        if client.request(method, path).status_code != 401
    ]
    assert open_paths == ["/healthz", "/readyz"]
