"""Without keys, only programs and pages of the same machine are answered."""

from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from api.app import create_app
from api.auth import Doors
from tests.factories import make_report
from tests.fixtures.ledgers import Ledgers


@pytest.fixture
def keyless(ledgers: Ledgers) -> Iterator[TestClient]:
    with TestClient(create_app(ledgers.settings(), Doors("Workstation-7"))) as client:
        yield client


OWN = [
    "127.0.0.1",
    "127.0.0.1:8787",
    "127.8.9.10",
    "localhost:8787",
    "LOCALHOST",
    "localhost.",
    "ledger.localhost:1",
    "[::1]:8787",
    "[::1]",
    "workstation-7:8787",
]
FOREIGN = [
    "evil.example",
    "evil.example:8787",
    "127.0.0.1.evil.example",
    "localhost.evil.example",
    "notlocalhost",
    "192.0.2.1",
    "0.0.0.0:8787",
    "[2001:db8::1]",
    "evil.example@127.0.0.1",
    "evil.example/@localhost",
    "127.0.0.1:port",
    "[::1",
    "",
]


@pytest.mark.parametrize("host", OWN)
def test_names_of_this_machine_are_answered(keyless: TestClient, host: str) -> None:
    assert keyless.get("/v1/summary", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("host", FOREIGN)
def test_other_names_are_refused(keyless: TestClient, host: str) -> None:
    for path in ("/v1/summary", "/metrics", "/healthz", "/docs", "/nowhere"):
        answer = keyless.get(path, headers={"Host": host})
        assert answer.status_code == 421
        assert answer.headers["content-type"] == "application/problem+json"
        assert repr(host) in answer.json()["detail"]
        assert "CARBON_API_KEY" in answer.json()["detail"]
        assert answer.json()["request_id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://127.0.0.1.evil.example"]
)
def test_pages_of_others_store_nothing(keyless: TestClient, origin: str) -> None:
    report = make_report()
    path, body = f"/v1/runs/{report.run_id}", report.model_dump_json()
    local = {"Host": "127.0.0.1:8787"}
    answer = keyless.put(path, content=body, headers={**local, "Origin": origin})
    assert answer.status_code == 403
    assert repr(origin) in answer.json()["detail"]
    assert keyless.get(path, headers=local).status_code == 404
    own = {**local, "Origin": "http://127.0.0.1:8787"}
    assert keyless.put(path, content=body, headers=own).status_code == 201


def test_with_a_key_any_name_may_lead_here(ledgers: Ledgers) -> None:
    with TestClient(create_app(ledgers.settings(api_key="correct horse"))) as client:
        headers = {"Host": "ledger.lab.example", "Authorization": "Bearer correct horse"}
        assert client.get("/v1/summary", headers=headers).status_code == 200
